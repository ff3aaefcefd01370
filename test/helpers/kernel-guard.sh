#!/bin/sh
# Holds the kernel's core settings for one test: run under flock, saves them, waits for the end of stdin, puts them back.
# It is a process of its own so that the settings come back however the test ends: done, Ctrl-C, uncaught error, SIGKILL.
#
#   flock -w SECONDS LOCK kernel-guard.sh SAVED      prints "held" once the values are saved
trap '' INT TERM HUP QUIT PIPE
saved=$1
settings="kernel/core_pattern kernel/core_pipe_limit fs/suid_dumpable"

restore() {
  for setting in $settings; do
    file="$saved/$(basename "$setting")"
    cmp -s "$file" "/proc/sys/$setting" || cat "$file" >"/proc/sys/$setting"
  done
}

# Left behind only when an earlier guard was killed: what it saved is what the machine had.
[ -f "$saved/complete" ] && restore
rm -rf "$saved"
mkdir -p "$saved"
for setting in $settings; do cat "/proc/sys/$setting" >"$saved/$(basename "$setting")"; done
: >"$saved/complete"
echo held
cat >/dev/null
restore && rm -rf "$saved"
