#!/bin/bash
# journal.sh OUT CORE FORGED: what the real systemd-coredump and journald make of a crash in a pod. Run in a mount
# namespace of its own (unshare --mount): its journal, spool and sockets are nobody else's. Puts OUT/journal and
# OUT/coredump. FORGED is the name of a core that only others write about.
set -eu
out=$1 core=$2 forged=$3
message=MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1
coredump=$(readlink -f /lib/systemd/systemd-coredump)
cgroups=$4 pod=$5 victim=$6
mount --make-rprivate /
for directory in /run/systemd /run/log /var/lib/systemd/coredump; do
  mkdir -p "$directory"
  mount -t tmpfs none "$directory"
done
mkdir -p /run/systemd/journal
unit="$cgroups/system.slice/system-systemd\\x2dcoredump.slice/systemd-coredump@0-77-0.service"
mkdir -p "$unit" "$cgroups/$pod" "$cgroups/$victim"
pids=
finish() {
  kill $pids 2>/dev/null || true
  wait 2>/dev/null || true
  for directory in "$unit" "$cgroups/$pod" "$cgroups/$victim"; do
    while [ "$directory" != "$cgroups" ] && rmdir "$directory" 2>/dev/null; do directory=${directory%/*}; done
  done
}
trap finish EXIT
until_there() { for _ in $(seq 100); do [ -e "$1" ] && return; sleep 0.1; done; echo "$1 did not appear" >&2; exit 1; }
/lib/systemd/systemd-journald & pids="$pids $!"
until_there /run/systemd/journal/socket
(echo $BASHPID >"$unit/cgroup.procs"; exec systemd-socket-activate -l /run/systemd/coredump --seqpacket -a "$coredump") & pids="$pids $!"
until_there /run/systemd/coredump
(echo $BASHPID >"$cgroups/$pod/cgroup.procs"; exec sleep 1000) & crashed=$!; pids="$pids $!"
until grep -q "^sleep$" /proc/$crashed/comm; do sleep 0.05; done
journal() { journalctl --directory /run/log/journal --quiet "$@"; }
# On a busy machine journald comes too late for what a process that has ended can still be asked: then once more.
for _ in $(seq 20); do
  rm -f /var/lib/systemd/coredump/*
  "$coredump" $crashed 1000 1000 11 "$(date +%s)" 18446744073709551615 web-0 <"$core"
  for _ in $(seq 30); do journal $message COREDUMP_FILENAME="$(echo /var/lib/systemd/coredump/core.*)" | grep -q . && break; sleep 0.1; done
  own() { journal $message COREDUMP_FILENAME="$(echo /var/lib/systemd/coredump/core.*)" '_SYSTEMD_SLICE=system-systemd\x2dcoredump.slice' | grep -q .; }
  own && break
done
own || { echo "the journal has no whole record of systemd-coredump's" >&2; exit 1; }
true=$(ls /var/lib/systemd/coredump)
# Others write about both cores: from a container, as root, by a program at systemd-coredump's own path.
cp "/var/lib/systemd/coredump/$true" "/var/lib/systemd/coredump/$forged"
cat >/run/log/forge <<F
echo \$\$ >"$cgroups/$victim/cgroup.procs"
mount --bind /usr/bin/logger "$coredump"
for name in "$true" "$forged"; do
  printf '%s\n' $message "MESSAGE=forged" "COREDUMP_FILENAME=/var/lib/systemd/coredump/\$name" \
    "COREDUMP_CGROUP=/$victim" "COREDUMP_PROC_CGROUP=0::/$victim" "_SYSTEMD_UNIT=systemd-coredump@0-1-0.service" |
    "$coredump" --journald
done
F
for _ in $(seq 40); do unshare --mount bash /run/log/forge; done
for _ in $(seq 100); do [ "$(journal $message | grep -c forged)" -ge 80 ] && break; sleep 0.1; done
cp -a /run/log/journal "$out/journal"
cp -a /var/lib/systemd/coredump "$out/coredump"
echo "$true"
