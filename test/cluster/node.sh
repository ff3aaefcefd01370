#!/bin/bash
# A machine of its own for one node of a cluster: containerd and the kubelet in new mount, network and process id
# namespaces, so that whatever they mount, start or connect is gone with the namespaces. Kernel and disk are the real ones.
#
#   node.sh start DIR NET NODE   until stdin closes; prints `ready` when the runtime answers
#
# DIR is the node's folder; NET a number: the machine outside has the addresses 10.97.NET.1 (where the API server is to
# listen) and 10.99.NET.1, the node is 10.99.NET.2, its pods are in 10.98.NET.0/24. NODE is a name for the cgroups.
# The kubelet starts when DIR/kubelet.yaml and DIR/kubelet.kubeconfig are there. Needs root, containerd, ctr, runc, ip,
# CNI's plugins, nsenter, unshare.
set -euo pipefail
verb=$1 dir=$2 net=$3 name=$4
kubernetes=${KUBERNETES:-kubernetes}
. "$(dirname "$0")/../helpers/containerd.sh"
link=cdh$net
# What the kubelet sets without being asked, and the pods' own business: to be put back as they were.
settings="vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes kernel/core_pipe_limit fs/suid_dumpable kernel/core_pattern"
saved=()
machine=

finish() {
  set +e
  trap '' INT TERM HUP
  kill -KILL "$machine"
  wait "$machine"
  local index=0 setting
  for setting in $settings; do
    [ "$(cat "/proc/sys/$setting")" = "${saved[index]}" ] || echo "${saved[index]}" >"/proc/sys/$setting"
    index=$((index + 1))
  done
  ip link del "$link"
  # Places to mount something inside, which this machine may have for itself.
  rmdir /var/lib/cni /var/lib/kubelet /var/log/containers
  remove_cgroups "$name"
  if [ "$(readlink /run/k0s/containerd)" = "$dir/run/containerd" ]; then rm -rf /run/k0s; fi
  rm -rf "$dir"
}

start() {
  local setting
  for setting in $settings; do saved+=("$(cat "/proc/sys/$setting")"); done
  mkdir -p "$dir"/{run/containerd,var/lib/kubelet,var/log/pods,own}
  make_cgroups
  # The composer runs outside, and looks for a runtime's records in the places that runtimes use.
  # The lock on the kernel's settings is held: a link that is still there was left by a run that was killed.
  [ ! -L /run/k0s/containerd ] || rm -rf /run/k0s
  [ ! -e /run/k0s ] || { echo "there is a /run/k0s already" >&2; exit 1; }
  mkdir /run/k0s && ln -s "$dir/run/containerd" /run/k0s/containerd
  unshare --mount --propagation shared --net --pid --fork --kill-child --mount-proc "$0" inside "$dir" "$net" "$name" </dev/null &
  machine=$!
  trap 'finish 2>/dev/null' EXIT
  trap 'exit 130' INT TERM HUP
  # The namespaces are there when the first process inside says who it is.
  for _ in $(seq 100); do [ -s "$dir/own/inside" ] && break; sleep 0.05; done
  local first
  first=$(pgrep -P "$machine" | head -n 1)
  ip link add "$link" type veth peer name eth0 netns "$first"
  ip addr add "10.99.$net.1/24" dev "$link"
  ip addr add "10.97.$net.1/32" dev "$link"
  ip link set "$link" up
  nsenter -t "$first" -n ip addr add "10.99.$net.2/24" dev eth0
  nsenter -t "$first" -n ip link set eth0 up
  nsenter -t "$first" -n ip route add default via "10.99.$net.1"
  ip route add "10.98.$net.0/24" via "10.99.$net.2"
  echo connected >"$dir/own/connected"
  while read -r _; do :; done
}

# The kubelet's own level of the cgroup tree: it only takes one that is there.
make_cgroups() {
  local tree
  for tree in $(awk '$3 == "cgroup" { print $2 }' /proc/self/mounts); do
    mkdir -p "$tree/$name"
    [ ! -e "$tree/cpuset.cpus" ] || cat "$tree/cpuset.cpus" >"$tree/$name/cpuset.cpus"
    [ ! -e "$tree/cpuset.mems" ] || cat "$tree/cpuset.mems" >"$tree/$name/cpuset.mems"
  done
  [ -z "${tree:-}" ] || return 0
  sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
  mkdir -p "/sys/fs/cgroup/$name"
}

inside() {
  ulimit -c unlimited
  echo $$ >"$dir/own/inside"
  until [ -s "$dir/own/connected" ]; do sleep 0.05; done
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  # Fixed folders of the runtime, CNI and the kubelet, as if this machine had no others.
  cover /run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers
  bridge_pods "$dir" "10.98.$net.0/24"
  start_containerd "$dir" "netns_mounts_under_state_dir = true"
  containerd_answers "$dir"
  echo ready
  until [ -s "$dir/kubelet.yaml" ] && [ -s "$dir/kubelet.kubeconfig" ]; do sleep 0.1; done
  "$kubernetes" kubelet --config="$dir/kubelet.yaml" --kubeconfig="$dir/kubelet.kubeconfig" --root-dir="$dir/var/lib/kubelet" \
    --cert-dir="$dir/own/kubelet-pki" --hostname-override=node-1 --node-ip="10.99.$net.2" >"$dir/own/kubelet.log" 2>&1 &
  wait
}

case $verb in
  start | inside) "$verb" ;;
  *) exit 2 ;;
esac
