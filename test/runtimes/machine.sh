#!/bin/bash
# A machine of its own for a container runtime that is not containerd, in new namespaces: what
# the runtime mounts, starts or connects is gone with the namespaces. The kernel, its core pattern and the disk are the real ones.
#
#   machine.sh start crio|crio-systemd|docker DIR BIN STATE    until stdin closes; prints one line when the runtime answers
#
# crio makes cgroups itself, as docker does; crio-systemd lets a systemd make them, which is process 1 of the machine and has a
# cgroup v2 tree of its own.
#
# BIN holds what test/tools built: crio/, cri-dockerd. STATE is a link to the runtime's folder, where the composer looks for it.
# Everything lies below DIR:
#   run/cri.sock              the runtime
#   run/containers/storage    CRI-O's run directory (crio)
#   docker/                   docker's data directory (docker)
# Needs root, runc, conmon and podman (crio; Debian's crun is too old for it); systemd and dbus-daemon (crio-systemd); dockerd, docker, containerd and runc (docker); CNI's plugins.
set -euo pipefail
verb=$1 kind=$2 dir=$3 bin=$4 state=$5
name=$(basename "$dir")
PATH=$PATH:/usr/sbin:/sbin
machine=

finish() {
  set +e
  trap '' INT TERM HUP
  kill -KILL "$machine"
  wait "$machine"
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
  if [[ $(readlink "$state") = "$dir"/* ]]; then
    rm "$state"
    rmdir -p --ignore-fail-on-non-empty "$(dirname "$state")"
  fi
  rm -rf "$dir"
}

start() {
  mkdir -p "$dir"/{run,var/log/pods,cni,own}
  # Its standard output is ours: the line that says it is ready goes straight to whoever started this.
  unshare --mount --propagation private --net --uts --ipc --pid --fork --kill-child --mount-proc \
    "$0" inside "$kind" "$dir" "$bin" "$state" </dev/null &
  machine=$!
  trap 'finish 2>/dev/null' EXIT
  trap 'exit 130' INT TERM HUP
  # Until whoever started this ends, or the machine does.
  local status
  while kill -0 "$machine" 2>/dev/null; do
    status=0
    read -r -t 0.5 _ || status=$?
    [ "$status" -eq 0 ] || [ "$status" -gt 128 ] || return 0
  done
}

run() {
  local log=$dir/own/$(basename "$1").log
  "$@" >"$log" 2>&1 &
}

# A machine that is a container itself may not let root lower oom_score_adj, which every pause container asks for.
write_oci_runtime() {
  cat >"$dir/own/runc" <<E
#!/bin/bash
if ! (echo -998 >/proc/self/oom_score_adj) 2>/dev/null; then
  for argument; do
    [ ! -f "\$argument/config.json" ] || sed -i 's/"oomScoreAdj": *-[0-9]*/"oomScoreAdj": '"\$(cat /proc/self/oom_score_adj)/" "\$argument/config.json"
  done
fi
exec $(command -v runc) "\$@"
E
  chmod 755 "$dir/own/runc"
}

write_crio_config() { # MANAGER
  mkdir -p "$dir/run/crio"
  cat >"$dir/own/crio.conf" <<E
[crio]
root = "$dir/var/lib/containers/storage"
runroot = "$dir/run/containers/storage"
storage_driver = "$storage"
log_dir = "$dir/var/log/crio"
version_file = "$dir/run/crio/version"
version_file_persist = ""
clean_shutdown_file = "$dir/own/clean.shutdown"
[crio.api]
listen = "$dir/run/cri.sock"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "$1"
conmon_cgroup = "pod"
pinns_path = "$bin/crio/pinns"
namespaces_dir = "$dir/run/namespaces"
container_exits_dir = "$dir/run/crio/exits"
container_attach_socket_dir = "$dir/run/crio"
hooks_dir = []
irqbalance_config_restore_file = "disable"
[crio.runtime.runtimes.runc]
runtime_path = "$dir/own/runc"
runtime_root = "$dir/run/runc"
monitor_path = "$(command -v conmon)"
monitor_cgroup = "pod"
[crio.image]
pause_image = "cdh.test/pause:1"
pause_command = ""
signature_policy = "$dir/own/policy.json"
[crio.network]
network_dir = "$dir/cni"
plugin_dirs = ["/usr/lib/cni"]
[crio.metrics]
enable_metrics = false
[crio.nri]
enable_nri = false
E
  echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$dir/own/policy.json"
}

run_crio() {
  write_crio_config cgroupfs
  run "$bin/crio/crio" --config "$dir/own/crio.conf" --config-dir "$dir/own/none"
}

run_crio-systemd() {
  write_crio_config systemd
  mkdir "$dir/own/units"
  cat >"$dir/own/units/machine.target" <<E
[Unit]
Requires=dbus.socket crio.service
E
  cat >"$dir/own/units/dbus.socket" <<E
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/dbus/system_bus_socket
E
  cat >"$dir/own/units/dbus.service" <<E
[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
E
  cat >"$dir/own/units/crio.service" <<E
[Unit]
DefaultDependencies=no
After=dbus.socket
[Service]
Delegate=yes
LimitCORE=infinity
Environment=PATH=$PATH
StandardOutput=file:$dir/own/crio.log
StandardError=inherit
ExecStart=$bin/crio/crio --config $dir/own/crio.conf --config-dir $dir/own/none
E
  # Of a hybrid tree the v2 one, without controllers; it is enough for pods that are given no limits.
  local tree=/sys/fs/cgroup
  [ ! -d "$tree/unified" ] || tree=$tree/unified
  mkdir "$tree/$name"
  echo $$ >"$tree/$name/cgroup.procs"
  exec unshare --cgroup "$0" boot "$kind" "$dir" "$bin" "$state"
}

boot() {
  umount --recursive --lazy /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t tmpfs tmpfs /run
  mkdir -p /run/dbus /run/lock
  # A systemd that finds no id makes one.
  echo 00000000000040008000000000000000 >"$dir/own/machine-id"
  [ ! -f /etc/machine-id ] || mount --bind "$dir/own/machine-id" /etc/machine-id
  { wait_for "$dir/run/cri.sock" && echo ready; } &
  exec env -i container=cdh "SYSTEMD_UNIT_PATH=$dir/own/units" /lib/systemd/systemd --system --unit=machine.target \
    --log-target=console --show-status=no >"$dir/own/systemd.log" 2>&1
}

run_docker() {
  # Docker resolves links in this path, and writes what it finds into its records; so here it is no link.
  mkdir -p "$dir/docker"
  mount -t tmpfs tmpfs "$(dirname "$state")"
  mkdir "$state"
  mount --bind "$dir/docker" "$state"
  run dockerd --data-root "$state" --exec-root "$dir/run/docker" --pidfile "$dir/run/docker.pid" \
    --host "unix://$dir/run/docker.sock" --storage-driver "$storage" --bridge none --iptables=false --ip6tables=false \
    --userland-proxy=false --exec-opt native.cgroupdriver=cgroupfs --add-runtime "restricted=$dir/own/runc" --default-runtime restricted
  wait_for "$dir/run/docker.sock"
  run "$bin/cri-dockerd" --container-runtime-endpoint "unix://$dir/run/cri.sock" --docker-endpoint "unix://$dir/run/docker.sock" \
    --cri-dockerd-root-directory "$dir/own/cri-dockerd" --pod-infra-container-image cdh.test/pause:1 --network-plugin cni \
    --cni-bin-dir /usr/lib/cni --cni-conf-dir "$dir/cni" --cni-cache-dir "$dir/own/cni-cache" --streaming-bind-addr 127.0.0.1:0
}

wait_for() {
  for _ in $(seq 600); do
    [ -S "$1" ] && return
    sleep 0.1
  done
  tail -n 20 "$dir"/own/*.log >&2
  exit 1
}

inside() {
  ulimit -c unlimited
  ip link set lo up
  # Fixed folders of CNI and of the runtimes, as if this machine had no other runtime.
  local folder
  for folder in /var/lib/cni /run/netns /run/docker; do
    mkdir -p "$folder"
    mount -t tmpfs tmpfs "$folder"
  done
  cat >"$dir/cni/10-pods.conflist" <<E
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$dir/cni/addresses", "ranges": [[{"subnet": "10.213.8.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
E
  # Layers need a file system below that is not itself made of layers.
  if [ "$(stat -f -c %T "$dir")" = overlayfs ]; then storage=vfs; elif [ "$kind" = docker ]; then storage=overlay2; else storage=overlay; fi
  write_oci_runtime
  "run_$kind"
  wait_for "$dir/run/cri.sock"
  echo ready
  wait
}

case $verb in
  start | inside | boot) "$verb" ;;
  *) exit 2 ;;
esac
