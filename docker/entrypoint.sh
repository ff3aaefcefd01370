#!/bin/sh
# Starts one of the programs by its name; anything else gets help.
case ${1-} in
  cdc | cdh-sysctl | cdh-upload | cdh-inspect)
    program=$1
    shift
    exec "/opt/core-dump-handler/bin/$program" "$@"
    ;;
esac
printf '%s\n' \
  'core-dump-handler: core dumps of Kubernetes pods and nodes' \
  '' \
  '  cdh-sysctl    install, watch, restore, status, doctor: looks after a node (privileged)' \
  '  cdh-upload    run, sweep, check: moves bundles to the store' \
  '  cdh-inspect   ls, show, verify, unpack, …: reads bundles' \
  '  cdc           the composer that the kernel starts' \
  '' \
  'Each has --help. The chart starts them by /opt/core-dump-handler/bin/NAME.' >&2
exit 2
