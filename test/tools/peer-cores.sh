#!/bin/sh
# Gets cores that others test their readers with, each as DIR/NAME.core and DIR/NAME.exec, for `npm run bench -- stacks --peers DIR`:
# elfutils' from the source package of this Debian, which needs apt, tar and bunzip2.
#
#   test/tools/peer-cores.sh DIR
set -eu
mkdir -p "$1"
target=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/sources"
# The sources that this machine's packages come from, asked for sources.
cat /etc/apt/sources.list.d/*.sources | sed 's/^Types: .*/Types: deb-src/' >"$work/sources/all.sources"
apt="-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$work/sources -o Dir::State::lists=$work/lists"
apt-get $apt update
cd "$work"
apt-get $apt source --download-only elfutils 2>/dev/null
tar xf elfutils_*.orig.tar.bz2
cd elfutils-*/tests
for name in backtrace.x86_64 backtrace.x86_64.fp backtrace.i386 backtrace.i386.fp backtrace.aarch64 backtrace.aarch64.fp; do
  bunzip2 -c "$name.core.bz2" >"$target/$name.core"
  bunzip2 -c "$name.exec.bz2" >"$target/$name.exec"
done
for name in testfiledwarfinlines testfile-backtrace-demangle; do
  bunzip2 -c "$name.core.bz2" >"$target/$name.core"
  bunzip2 -c "$name.bz2" >"$target/$name.exec"
done
