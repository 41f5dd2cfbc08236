#!/usr/bin/env bash
# OpenStack Swift with its S3 interface, as run.sh starts it in its tree: one disk, and the proxy at
# 127.0.0.1:19320 with the key test:tester / testing. It ends with the first of its servers that ends.
set -euo pipefail
readonly SRV=/srv/swift
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
rm -rf "$SRV"
mkdir -p "$SRV/node/d1" "$SRV/run" /etc/swift /var/cache/swift
cd /etc/swift

cat >swift.conf <<'CONF'
[swift-hash]
swift_hash_path_suffix = suffix
swift_hash_path_prefix = prefix
[storage-policy:0]
name = default
default = yes
CONF

# backend NAME PORT writes the configuration of one of the three servers behind the proxy, and its ring.
backend() {
  cat >"$1-server.conf" <<CONF
[DEFAULT]
devices = $SRV/node
mount_check = false
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = $2
workers = 1
user = root
log_level = ERROR
[pipeline:main]
pipeline = $1-server
[app:$1-server]
use = egg:swift#$1
CONF
  swift-ring-builder "$1.builder" create 4 1 1
  swift-ring-builder "$1.builder" add "r1z1-127.0.0.1:$2/d1" 1
  swift-ring-builder "$1.builder" rebalance
}
rm -f ./*.builder ./*.ring.gz
backend account 19321
backend container 19322
backend object 19323

cat >proxy-server.conf <<'CONF'
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = 19320
workers = 2
user = root
log_level = ERROR
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:19324
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
CONF

memcached -u root -l 127.0.0.1 -p 19324 &
for server in account container object proxy; do
  "swift-$server-server" "/etc/swift/$server-server.conf" -v &
done
wait -n
