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
. "$here/../helpers/containerd.sh"
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
  remove_cgroups "$name"
  if [ "$(readlink /run/k0s/containerd)" = "$dir/run/containerd" ]; then rm -rf /run/k0s; fi
  rm -rf "$dir"
}

start() {
  local setting
  for setting in $settings; do saved+=("$(cat "/proc/sys/$setting")"); done
  mkdir -p "$dir"/{var/log/pods,in,own}
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
  cover /run/containerd /var/lib/cni
  bridge_pods "$dir" 10.213.7.0/24
  start_containerd "$dir" "netns_mounts_under_state_dir = true"
  "$node" "$here/in-node.mjs" "$dir" "$@" >"$dir/own/in-node.log" 2>&1 &
  containerd_answers "$dir"
  until [ -S "$dir/out.sock" ]; do sleep 0.1; done
  echo ready
  wait
}

case $verb in
  start | inside) "$verb" "$@" ;;
  *) exit 2 ;;
esac
