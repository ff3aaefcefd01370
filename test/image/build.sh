#!/bin/sh
# Builds the image from docker/Dockerfile with buildah, on a Debian base that debootstrap makes under the name that the
# Dockerfile asks for: no registry of images is needed, only Debian's packages and npm's.
#
#   test/image/build.sh [amd64|arm64]      needs root, git, buildah, debootstrap, zstd, Node >= 20 with npm
#
# What is committed is built, in a storage of its own that is removed again. Leaves .cache/image/core-dump-handler-ARCH.tar
# (a docker archive) and beside it the commit; the base is kept there too. Prints the image's name and size. The base
# holds this machine's certificates, so that the build can reach what this machine can reach: an image for others is
# built on the real base.
#
# Exit status: 0 built, 1 the Dockerfile does not build, 3 this machine cannot make the base, 130 interrupted.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
own=$(dpkg --print-architecture)
arch=${1:-$own}
node=$(command -v node)
base=localhost/node:26.10.0-bookworm-slim
image=cdh.test/core-dump-handler:$(node -p 'require(process.argv[1]).version' "$root/package.json")
revision=$(git -c safe.directory="$root" -C "$root" rev-parse HEAD) || exit 3
out=$root/.cache/image
archive=$out/core-dump-handler-$arch.tar
base_archive=$out/base-bookworm-$own-$("$node" --version).tar.zst
export BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
mkdir -p "$out"

# Until the base stands, what fails is this machine; afterwards it is the Dockerfile.
failure=3
clean() {
  status=$?
  # Storage that is mounted somewhere below cannot be removed.
  awk -v dir="$work/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
  rm -rf "$work"
  case $status in 0 | 130) exit "$status" ;; *) exit "$failure" ;; esac
}
trap clean EXIT
trap 'exit 130' INT TERM HUP

driver=overlay
store() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver "$driver" "$@"; }
if ! container=$(store from scratch 2>/dev/null) || ! store mount "$container" >/dev/null 2>&1; then
  # Below another overlay file system, say; each step then copies everything.
  driver=vfs
  container=$(store from scratch)
fi

# Give a step's output only when it fails.
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; exit 1; }; }

if [ ! -f "$base_archive" ]; then
  rootfs=$work/rootfs
  quietly debootstrap --variant=minbase --include=ca-certificates bookworm "$rootfs"
  cp -L "$node" "$rootfs/usr/local/bin/node"
  mkdir -p "$rootfs/usr/local/lib/node_modules"
  cp -a "$(npm root -g 2>/dev/null)/npm" "$rootfs/usr/local/lib/node_modules/npm"
  printf '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n' >"$rootfs/usr/local/bin/npm"
  chmod +x "$rootfs/usr/local/bin/npm"
  cp /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
  # Node itself asks for these two, beside what debootstrap's minimum has.
  quietly chroot "$rootfs" apt-get install -y -qq --no-install-recommends libatomic1 libstdc++6
  rm -rf "$rootfs"/var/cache/apt/archives/*.deb
  tar -C "$rootfs" -cf - . | zstd -q -3 -T0 -o "$base_archive.new"
  mv "$base_archive.new" "$base_archive"
  rm -rf "$rootfs"
fi
zstd -q -d -o "$work/base.tar" "$base_archive"
store add -q "$container" "$work/base.tar" / >/dev/null
rm "$work/base.tar"
store config --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
  --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
store commit -q --rm "$container" "$base" >/dev/null
failure=1

mkdir "$work/source"
(cd "$root" && git -c safe.directory="$root" archive "$revision") | tar -x -C "$work/source"
cd "$work/source"
quietly store build --pull-never --platform "linux/$arch" --build-arg "NODE=$base" --build-arg "BUILDPLATFORM=linux/$own" \
  --build-arg "REVISION=$revision" --ignorefile docker/Dockerfile.dockerignore --tag "$image" -f docker/Dockerfile .
rm -f "$archive" "$archive.revision"
quietly store push "$image" "docker-archive:$archive.new:$image"
mv "$archive.new" "$archive"
echo "$revision" >"$archive.revision"
echo "$image ($arch): $(($(stat -c %s "$archive") / 1048576)) MiB in $archive"
