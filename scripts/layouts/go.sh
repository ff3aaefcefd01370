#!/bin/sh
# Writes packages/unwind/src/go/layouts.ts: where Go's runtime keeps what, as the toolchains of these versions have it.
#
#   scripts/layouts/go.sh [VERSION…]      default: the last of each minor version since 1.20
#
# The toolchains are Go modules, which the go command fetches. A new minor version is one more word here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -gt 0 ] || set -- 1.20.14 1.21.13 1.22.12 1.23.12 1.24.13 1.25.7 1.26.2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
printf 'package main\n\nfunc main() { defer func() { recover() }(); panic("") }\n' >"$place/main.go"
printf 'module main\n\ngo 1.20\n' >"$place/go.mod"
tables=""
for version in "$@"; do
  export GOTOOLCHAIN="go$version"
  (cd "$place" && CGO_ENABLED=0 go build -o "$version" .)
  tables="$tables $version:$place/$version:$(cd "$place" && go env GOROOT)"
done
unset GOTOOLCHAIN
# shellcheck disable=SC2086 -- a word each
(cd "$here/go" && go run . $tables) >"$place/layouts.ts"
mv "$place/layouts.ts" "$root/packages/unwind/src/go/layouts.ts"
