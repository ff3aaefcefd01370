#!/bin/sh
# Runs a command beside a Ceph of one node: a monitor, an OSD that keeps its objects in memory, and the S3 gateway.
#
#   test/tools/ceph.sh npm test -- test/upload/s3-contract.test.ts
#
# The command finds the gateway in CDH_TEST_S3_ENDPOINT, _BUCKET, _ACCESS_KEY and _SECRET. Debian's packages are unpacked into
# .cache/tools/ceph, nothing is installed. Exit status: the command's; 3 when Ceph is not to be had (the reason is in the line).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
target="$root/.cache/tools/ceph"
no() { echo "ceph: not run: $*" >&2; exit 3; }

if [ ! -x "$target/usr/bin/radosgw" ]; then
  command -v apt-get >/dev/null || no "no apt-get on this machine"
  fresh="$target.new"
  rm -rf "$fresh"
  mkdir -p "$fresh/archives/partial"
  apt-get -qq -y --no-install-recommends --download-only -o "Dir::Cache::archives=$fresh/archives" \
    install radosgw ceph-mon ceph-osd ceph-common >/dev/null || no "apt-get cannot download the packages"
  for package in "$fresh"/archives/*.deb; do dpkg -x "$package" "$fresh"; done
  rm -rf "$fresh/archives" "$target"
  mv "$fresh" "$target"
fi

lib="$target/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)"
data=$(mktemp -d /tmp/cdh-ceph-XXXXXX)
conf="$data/ceph.conf"
fsid=11111111-2222-3333-4444-555555555555
port=$((20000 + $$ % 10000))
gateway=

# Become one of Ceph's programs.
become() {
  export CEPH_CONF="$conf" PYTHONPATH="$target/usr/lib/python3/dist-packages"
  export LD_LIBRARY_PATH="$lib:$lib/ceph:$target/lib/$(basename "$lib"):$target/usr/lib/ceph"
  exec "$target/usr/bin/$@"
}
run() { (become "$@"); }

tidy() {
  for pid in $gateway $(cat "$data"/run/*.pid 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || :; done
  rm -rf "$data"
}
trap tidy EXIT
trap 'exit 130' INT TERM HUP

mkdir -p "$data/mon" "$data/osd" "$data/rgw" "$data/run"
cat >"$conf" <<END
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$port/0
public_network = 127.0.0.0/8
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 6442450944
plugin_dir = $lib/ceph
erasure_code_dir = $lib/ceph/erasure-code
osd_class_dir = $lib/rados-classes
run_dir = $data/run
admin_socket = $data/run/\$name.asok
log_file = $data/run/\$name.log
pid_file = $data/run/\$name.pid
keyring = $data/keyring
mon_data = $data/mon
osd_data = $data/osd
rgw_data = $data/rgw
END

up() {
  run monmaptool --create --addv a "[v2:127.0.0.1:$port]" --fsid "$fsid" "$data/monmap"
  run ceph-authtool --create-keyring --gen-key -n mon. --cap mon 'allow *' "$data/keyring"
  run ceph-authtool --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' "$data/keyring"
  run ceph-mon --mkfs -i a --monmap "$data/monmap" --keyring "$data/keyring"
  run ceph-mon -i a
  run ceph osd create
  run ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' >>"$data/keyring"
  run ceph-osd -i 0 --mkfs
  run ceph-osd -i 0
  run ceph osd crush add osd.0 1.0 root=default host=node
  run radosgw-admin user create --uid=cdh --display-name=cdh --access-key=cdh-test-key --secret=cdh-test-secret-key
}
up >"$data/up.log" 2>&1 || { tail -n 5 "$data/up.log" >&2; no "the cluster does not come up"; }

become radosgw -n client.admin --keyring "$data/keyring" --rgw_frontends="beast endpoint=127.0.0.1:$((port + 1))" \
  --rgw_enable_apis=s3 --log-file "$data/run/rgw.log" -f --setuser root --setgroup root >/dev/null 2>&1 &
gateway=$!

export CDH_TEST_S3_ENDPOINT="http://127.0.0.1:$((port + 1))" CDH_TEST_S3_BUCKET=cores
export CDH_TEST_S3_ACCESS_KEY=cdh-test-key CDH_TEST_S3_SECRET=cdh-test-secret-key
tries=0
nothing=$(printf '' | sha256sum | cut -d ' ' -f 1)
until curl -sS -f -X PUT --data "" --aws-sigv4 aws:amz:us-east-1:s3 --user cdh-test-key:cdh-test-secret-key \
  -H "x-amz-content-sha256: $nothing" "$CDH_TEST_S3_ENDPOINT/cores" >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 120 ] || no "the gateway does not answer"
  sleep 0.5
done
"$@"
