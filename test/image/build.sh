#!/bin/sh
# Builds the image from docker/Dockerfile with buildah, on a Debian base that debootstrap makes under the name that the
# Dockerfile asks for: no registry of images is needed, only Debian's packages and npm's.
#
#   test/image/build.sh [amd64|arm64]      needs root, buildah, debootstrap, Node >= 20 with npm
#
# Prints the image's name, size and contents. The base holds this machine's certificates, so that the build can reach what
# this machine can reach: an image for others is built on the real base.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
arch=${1:-$(dpkg --print-architecture)}
base=localhost/node:26.10.0-bookworm-slim
image=localhost/core-dump-handler:$arch
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  rootfs=$work/rootfs
  debootstrap --variant=minbase --include=ca-certificates bookworm "$rootfs" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
  cp -L "$(command -v node)" "$rootfs/usr/local/bin/node"
  mkdir -p "$rootfs/usr/local/lib/node_modules"
  cp -a "$(npm root -g)/npm" "$rootfs/usr/local/lib/node_modules/npm"
  printf '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n' >"$rootfs/usr/local/bin/npm"
  chmod +x "$rootfs/usr/local/bin/npm"
  cp /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
  # Node itself asks for these two, beside what debootstrap's minimum has.
  chroot "$rootfs" apt-get install -y -qq --no-install-recommends libatomic1 libstdc++6 >"$work/log" 2>&1
  container=$(buildah from scratch)
  buildah copy -q "$container" "$rootfs" / >/dev/null
  buildah config --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit -q --rm "$container" "$base" >/dev/null
fi

(cd "$root" && git archive HEAD) | tar -x -C "$work"
cd "$work"
buildah build --pull-never --platform "linux/$arch" --build-arg "NODE=$base" \
  --build-arg "BUILDPLATFORM=linux/$(dpkg --print-architecture)" \
  --ignorefile docker/Dockerfile.dockerignore --tag "$image" -f docker/Dockerfile . >"$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log" >&2; exit 1; }

container=$(buildah from --pull-never --platform "linux/$arch" "$image")
mounted=$(buildah mount "$container")
echo "$image: $(du -sm "$mounted" | cut -f1) MB"
(cd "$mounted" && find . -type f ! -path './opt/core-dump-handler/licenses/*' ! -path './usr/share/doc/*' | sort)
if [ "$arch" = "$(dpkg --print-architecture)" ]; then
  for program in cdc cdh-sysctl cdh-upload cdh-inspect; do
    echo "$program $(buildah run "$container" -- /opt/core-dump-handler/entrypoint "$program" --version)"
  done
fi
buildah rm "$container" >/dev/null
