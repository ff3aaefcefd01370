# A containerd of one's own, for the scripts that start one: sourced, not run. DIR is the folder that holds all of it:
# its socket is DIR/run/containerd/containerd.sock, its settings and log lie in DIR/own.

# Start it in the background. CNI's settings are looked for in DIR/cni. $! is the daemon.
start_containerd() { # DIR [MORE LINES of the CRI plugin's settings]
  mkdir -p "$1"/{run/containerd,var/lib/containerd,cni,own}
  cat >"$1/own/config.toml" <<E
version = 2
root = "$1/var/lib/containerd"
state = "$1/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "$1/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "cdh.test/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
stream_server_port = "0"
${2:-}
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$1/cni"
E
  containerd -c "$1/own/config.toml" >"$1/own/containerd.log" 2>&1 </dev/null &
}

# Wait until it answers, half a minute at most.
containerd_answers() { # DIR
  local socket=$1/run/containerd/containerd.sock
  for _ in $(seq 300); do
    if [ -S "$socket" ] && ctr -a "$socket" version >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  cat "$1/own/containerd.log" >&2
  return 1
}

# Give pods a bridge with addresses of a subnet.
bridge_pods() { # DIR SUBNET
  mkdir -p "$1/cni"
  cat >"$1/cni/10-pods.conflist" <<E
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$1/cni/addresses", "ranges": [[{"subnet": "$2"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
E
}

# Cover folders that have one place on a machine with empty ones, as if this machine had no other runtime.
cover() { # FOLDER…
  local folder
  for folder; do
    mkdir -p "$folder"
    mount -t tmpfs tmpfs "$folder"
  done
}

# Remove the cgroups below one of that name. The last process of a cgroup may take a moment to go.
remove_cgroups() { # NAME
  for _ in $(seq 200); do
    find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} +
    [ -z "$(find /sys/fs/cgroup -type d -name "$1" -print -quit)" ] && break
    sleep 0.05
  done
}
