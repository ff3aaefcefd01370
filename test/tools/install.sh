#!/bin/sh
# Gets the real tools that the suites run against, each from its own pinned Go module, npm or Python package, into .cache/tools/bin.
#
#   test/tools/install.sh [name…]      default: all but cri-dockerd, whose suite needs a dockerd that CI has not
#
# One line per tool. Exit status: 0 all there, 2 unknown name, 3 at least one could not be built (its reason is in its line).
# A tool whose go.mod, go.sum and main.go (or package-lock.json) did not change since it was built is left alone.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin="$root/.cache/tools/bin"
all="minio azurite fake-gcs-server versitygw crictl crictl-old dlv pystack helm helm-unittest kubeconform kubernetes crds crio"

# Prints the package to build, then what the linker stamps (a plain `go build` leaves the tool's own version empty).
describe() {
  version=$(awk -v m="$2" '$1 == m { print $2; exit } $2 == m && $1 == "require" { print $3; exit }' "$here/$1/go.mod")
  printf '%s\n%s\n%s\n' "$3" "$version" "${4:+-X $4=$version}"
}

tool() {
  case $1 in
    minio) describe minio github.com/minio/minio github.com/minio/minio ;;
    versitygw) describe versitygw github.com/versity/versitygw github.com/versity/versitygw/cmd/versitygw main.Version ;;
    fake-gcs-server) describe fake-gcs-server github.com/fsouza/fake-gcs-server github.com/fsouza/fake-gcs-server ;;
    crictl) describe crictl sigs.k8s.io/cri-tools sigs.k8s.io/cri-tools/cmd/crictl sigs.k8s.io/cri-tools/pkg/version.Version ;;
    # The oldest that can be had, of 2023; the module's name was another one then. The module proxy that CI uses refuses
    # v1.22 to v1.25 under both names (403, "This module version is not available"), and Debian packages none.
    crictl-old) describe crictl-old github.com/kubernetes-sigs/cri-tools github.com/kubernetes-sigs/cri-tools/cmd/crictl github.com/kubernetes-sigs/cri-tools/pkg/version.Version ;;
    dlv) describe dlv github.com/go-delve/delve github.com/go-delve/delve/cmd/dlv ;;
    helm) describe helm helm.sh/helm/v3 helm.sh/helm/v3/cmd/helm helm.sh/helm/v3/internal/version.version ;;
    helm-unittest)
      describe helm-unittest github.com/helm-unittest/helm-unittest github.com/helm-unittest/helm-unittest/cmd/helm-unittest
      ;;
    kubeconform) describe kubeconform github.com/yannh/kubeconform github.com/yannh/kubeconform/cmd/kubeconform main.version ;;
    # Our own main.go over the parts of Kubernetes; helm and the API's clients read major and minor too.
    kubernetes)
      at=k8s.io/component-base/version
      describe kubernetes k8s.io/kubernetes . $at.gitVersion |
        sed "3s|=v\([0-9]*\)\.\([0-9]*\)\..*|& -X $at.gitMajor=\1 -X $at.gitMinor=\2|"
      ;;
    crio) describe crio github.com/cri-o/cri-o github.com/cri-o/cri-o/cmd/crio ;;
    cri-dockerd)
      at=github.com/Mirantis/cri-dockerd
      describe cri-dockerd $at $at $at/cmd/version.Version
      ;;
    # Its go.mod is a package.json: Azure's own emulator of Blob Storage.
    azurite) printf 'azurite\n%s\n\n' "$(sed -n 's/.*"azurite": "\(.*\)".*/\1/p' "$here/azurite/package.json")" ;;
    # Its go.mod is a requirements.txt.
    pystack) printf 'pystack\n%s\n\n' "$(sed -n 's/^pystack==//p' "$here/pystack/requirements.txt")" ;;
    # Not a program: a folder with definitions that others publish in Go modules.
    crds) describe crds github.com/prometheus-operator/prometheus-operator crds ;;
    *) return 1 ;;
  esac
}

# -p 2 and nice: MinIO alone would otherwise keep a small machine busy for minutes while tests with deadlines run.
compile() {
  nice -n 10 go build -p 2 -trimpath -buildvcs=false -ldflags "-s -w $stamps" -o "$bin/.$name.new" "$package"
}

# Static, so that no C library's headers are needed. CRI-O starts a small C program of its own beside it.
compile_crio() {
  mkdir "$bin/.$name.new"
  tags="containers_image_openpgp containers_image_ostree_stub exclude_graphdriver_btrfs"
  CGO_ENABLED=0 nice -n 10 go build -p 2 -trimpath -buildvcs=false -tags "$tags" -ldflags "-s -w" -o "$bin/.$name.new/crio" "$package" &&
    gcc -std=c99 -O2 -static -o "$bin/.$name.new/pinns" "$(go list -m -f '{{.Dir}}' github.com/cri-o/cri-o)"/pinns/src/*.c
}

fetch_crds() {
  mkdir "$bin/.$name.new"
  go mod download -json github.com/openshift/api github.com/prometheus-operator/prometheus-operator |
    sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p' |
    while read -r module; do
      for kind in securitycontextconstraints podmonitors servicemonitors prometheusrules; do
        find "$module/payload-manifests" "$module/example/prometheus-operator-crd" -name "*_$kind.yaml" -o -name "*_$kind.crd.yaml" 2>/dev/null |
          while read -r file; do cp "$file" "$bin/.$name.new/$kind.yaml" && chmod 644 "$bin/.$name.new/$kind.yaml"; done
      done
    done
  [ "$(ls "$bin/.$name.new" | wc -l)" -eq 4 ]
}

# Programs of npm packages; no package runs a script while it is installed.
install_npm() {
  mkdir "$bin/.$name.new"
  cp package.json package-lock.json .npmrc "$bin/.$name.new"
  (cd "$bin/.$name.new" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

# A program of Python packages, wheels alone, in an environment of its own; its folder has bin/pystack.
install_pip() {
  python3 -m venv "$bin/.$name.new" &&
    "$bin/.$name.new/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt
}

build() {
  name=$1
  package=$(tool "$name" | sed -n 1p)
  version=$(tool "$name" | sed -n 2p)
  stamps=$(tool "$name" | sed -n 3p)
  key=$(cd "$here/$name" && cat $(ls go.mod go.sum main.go package-lock.json requirements.txt 2>/dev/null) | sha256sum | cut -d' ' -f1)
  if [ -x "$bin/$name" ] && [ "$(cat "$bin/.$name.key" 2>/dev/null)" = "$key" ]; then
    echo "$name $version: there already"
    return 0
  fi
  needed=go
  [ ! -f "$here/$name/package-lock.json" ] || needed=npm
  [ ! -f "$here/$name/requirements.txt" ] || needed=python3
  if ! command -v $needed >/dev/null 2>&1; then
    echo "$name $version: not built: no $needed on this machine"
    return 3
  fi
  log="$bin/.$name.log"
  make=compile
  case $name in
    crds) make=fetch_crds ;;
    crio) make=compile_crio ;;
    azurite) make=install_npm ;;
    pystack) make=install_pip ;;
  esac
  rm -rf "$bin/.$name.new"
  if (cd "$here/$name" && export GOFLAGS=-mod=readonly && $make) >"$log" 2>&1; then
    [ ! -d "$bin/$name" ] || rm -rf "$bin/$name"
    mv -f "$bin/.$name.new" "$bin/$name"
    echo "$key" >"$bin/.$name.key"
    echo "$name $version: built, $(du -sm "$bin/$name" | cut -f1) MB"
    return 0
  fi
  rm -rf "$bin/.$name.new"
  echo "$name $version: not built: $(grep -v '^go: downloading' "$log" | grep -v '^#' | head -n 1)"
  return 3
}

[ $# -gt 0 ] || set -- $all
for name in "$@"; do
  tool "$name" >/dev/null || { echo "install.sh: no tool named $name; known: $all cri-dockerd" >&2; exit 2; }
done
mkdir -p "$bin"
# Two suites that start together must not build the same tool twice.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$bin/.lock"
  flock 9
fi
status=0
for name in "$@"; do
  build "$name" || status=3
done
exit $status
