#!/bin/sh
# Fetches Debian's arm64 kernel, with the modules that its disk needs, into .cache/tools/arm64-kernel: for qemu-system-aarch64.
#
#   test/tools/arm64-kernel.sh [suite]      default: the machine's own; sid for a newer kernel
#
# apt gets lists of its own: nothing is installed, and the machine's architectures stay as they are. A kernel that is there
# already is left alone, whichever it is, unless a suite is named. Exit status: 0 there, 3 not to be had (the reason is in the line).
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
target="$root/.cache/tools/arm64-kernel"
if [ -e "$target/vmlinuz" ] && [ "${1:-$(cat "$target/suite")}" = "$(cat "$target/suite")" ]; then
  echo "arm64-kernel $(cat "$target/release"): there already"
  exit 0
fi
for tool in apt-get dpkg; do
  command -v "$tool" >/dev/null || { echo "arm64-kernel: not fetched: no $tool on this machine"; exit 3; }
done
# Where the machine itself gets Debian from.
set -- "${1:-}" $(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | grep -v security | head -n 1)
[ $# -eq 3 ] || { echo "arm64-kernel: not fetched: apt knows no Debian archive"; exit 3; }
suite=${1:-$3}
work="$root/.cache/tools/.arm64-kernel.new"
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/out"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [arch=arm64 signed-by=$keyring] $2 $suite main" >"$work/sources.list"
cat >"$work/apt.conf" <<END
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::State::status "/dev/null";
Dir::Cache "$work";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Acquire::Languages "none";
END

fetch() {
  export APT_CONFIG="$work/apt.conf"
  apt-get -q update || return 1
  # The package of this name is empty; the kernel is what it depends on, newer ones in packages of their own.
  image=$(apt-cache show --no-all-versions linux-image-arm64 | sed -n 's/^Depends: \(.*, \)*\(linux-image-[0-9][^ ,]*\).*/\2/p')
  [ -n "$image" ] || { echo "no linux-image-arm64 in $suite"; return 1; }
  parts=$(apt-cache show --no-all-versions "$image" | sed -n '/^Depends:/{s/[ ,]/\n/g;p}' | grep -E '^linux-(binary|modules)-')
  (cd "$work" && apt-get -q download "$image" $parts) || return 1
  # Only what is wanted: the modules alone are 400 MB.
  for package in "$work"/linux-*.deb; do
    dpkg --fsys-tarfile "$package" | tar -x -C "$work" --wildcards '*/vmlinuz*' \
      '*/virtio.ko*' '*/virtio_ring.ko*' '*/virtio_mmio.ko*' '*/virtio_blk.ko*'
  done
  return 0
}

image=
fetch >"$work/log" 2>&1
kernel=$(find "$work" -type f -name 'vmlinuz*' | head -n 1)
if [ -z "$kernel" ]; then
  echo "arm64-kernel: not fetched: $(tail -n 1 "$work/log")"
  exit 3
fi
release=${image#linux-image-}
cp "$kernel" "$work/out/vmlinuz"
: >"$work/out/modules.list"
# In the order in which they need each other; what is built in is no file.
for module in virtio virtio_ring virtio_mmio virtio_blk; do
  file=$(find "$work" -name "$module.ko*" | head -n 1)
  [ -n "$file" ] || continue
  case $file in
    *.xz) xz -dc "$file" >"$work/out/$module.ko" ;;
    *.zst) zstd -qdc "$file" >"$work/out/$module.ko" ;;
    *) cp "$file" "$work/out/$module.ko" ;;
  esac
  echo "$module.ko" >>"$work/out/modules.list"
done
echo "$release" >"$work/out/release"
echo "$suite" >"$work/out/suite"
rm -rf "$target"
mv "$work/out" "$target"
rm -rf "$work"
echo "arm64-kernel $release: fetched"
