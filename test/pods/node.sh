#!/bin/bash
# A machine of its own for pods: containerd in new mount, network and process id namespaces, so that whatever a pod or the
# runtime mounts, starts or connects is gone with the namespaces. The kernel, its core pattern and the disk are the real ones.
#
#   node.sh start DIR NODE PORT…   until stdin closes; prints one line when the runtime answers
#
# DIR/run/containerd/containerd.sock is the runtime; DIR/out.sock leads to the pods, and what pods say to PORT of the
# node goes to DIR/in/PORT (in-node.mjs). Needs root, containerd, ctr, runc, ip, CNI's plugins.
set -euo pipefail
verb=$1 dir=$2 node=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$dir")
socket=$dir/run/containerd/containerd.sock
# In the order to set them: the pattern last.
settings="kernel/core_pipe_limit fs/suid_dumpable kernel/core_pattern"
saved=()
machine=

finish() {
  set +e
  trap '' INT TERM HUP
  kill -KILL "$machine"
  wait "$machine"
  # A watcher in a pod sets the kernel's values again until the moment it dies, so they are put back after that.
  if grep -qF "$dir/" /proc/sys/kernel/core_pattern; then
    local index=0 setting
    for setting in $settings; do
      echo "${saved[index]}" >"/proc/sys/$setting"
      index=$((index + 1))
    done
  fi
  # The kernel may have started a composer for one of the last crashes.
  for _ in $(seq 200); do
    readlink /proc/[0-9]*/exe | grep -qF "$dir/" || break
    sleep 0.05
  done
  # The last process of a cgroup may take a moment to go.
  for _ in $(seq 200); do
    find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} +
    [ -z "$(find /sys/fs/cgroup -type d -name "$name" -print -quit)" ] && break
    sleep 0.05
  done
  if [ "$(readlink /run/k0s/containerd)" = "$dir/run/containerd" ]; then rm -rf /run/k0s; fi
  rm -rf "$dir"
}

start() {
  local setting
  for setting in $settings; do saved+=("$(cat "/proc/sys/$setting")"); done
  mkdir -p "$dir"/{run/containerd,var/lib/containerd,var/log/pods,in,cni,own}
  # Its standard output is ours: the line that says it is ready goes straight to whoever started this.
  unshare --mount --propagation shared --net --pid --fork --kill-child --mount-proc \
    "$0" inside "$dir" "$node" "$@" </dev/null &
  machine=$!
  trap 'finish 2>/dev/null' EXIT
  trap 'exit 130' INT TERM HUP
  while read -r _; do :; done
}

inside() {
  ulimit -c unlimited
  ip link set lo up
  # The runtime's and CNI's fixed folders, as if this machine had no other runtime.
  local folder
  for folder in /run/containerd /var/lib/cni; do
    mkdir -p "$folder"
    mount -t tmpfs tmpfs "$folder"
  done
  cat >"$dir/own/config.toml" <<E
version = 2
root = "$dir/var/lib/containerd"
state = "$dir/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "cdh.test/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$dir/cni"
E
  cat >"$dir/cni/10-pods.conflist" <<E
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$dir/cni/addresses", "ranges": [[{"subnet": "10.213.7.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
E
  containerd -c "$dir/own/config.toml" >"$dir/own/containerd.log" 2>&1 &
  "$node" "$here/in-node.mjs" "$dir" "$@" >"$dir/own/in-node.log" 2>&1 &
  for _ in $(seq 300); do
    if [ -S "$dir/out.sock" ] && ctr -a "$socket" version >/dev/null 2>&1; then
      echo ready
      break
    fi
    sleep 0.1
  done
  wait
}

case $verb in
  start | inside) "$verb" "$@" ;;
  *) exit 2 ;;
esac
