#!/usr/bin/env bash
# Ceph, as run.sh starts it in its tree: one mon, one osd in memory, one radosgw at 127.0.0.1:19310
# with the key testtest / testtestsecret. It ends with the first of them that ends.
set -euo pipefail
export CEPH_CONF=/srv/ceph/ceph.conf
readonly FSID=11111111-2222-3333-4444-555555555555
conf=(-c "$CEPH_CONF")
mkdir -p /srv/ceph/log
cd /srv/ceph
rm -rf mon osd run rgw mgr keyring monmap
mkdir -p mon/a osd/0 run rgw mgr

# admin asks the cluster, within bounds.
admin() { timeout 60 ceph "${conf[@]}" "$@"; }

ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *'
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *'
monmaptool --create --fsid "$FSID" --addv a '[v2:127.0.0.1:13300,v1:127.0.0.1:16789]' monmap
ceph-mon "${conf[@]}" --mkfs -i a --monmap monmap --keyring keyring
ceph-mon "${conf[@]}" -i a -f &
admin -s

uuid=$(cat /proc/sys/kernel/random/uuid)
admin osd new "$uuid"
admin osd crush add-bucket h host
admin osd crush move h root=default
admin osd crush add osd.0 1.0 host=h
{
  admin auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *'
  admin auth get-or-create client.rgw.a mon 'allow rwx' osd 'allow rwx'
} >>keyring
ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$uuid"
ceph-osd "${conf[@]}" -i 0 -f &
radosgw "${conf[@]}" -n client.rgw.a -f --rgw-frontends "beast endpoint=127.0.0.1:19310" &
timeout 120 radosgw-admin "${conf[@]}" -n client.admin user create --uid=t --display-name=t --access-key=testtest --secret-key=testtestsecret
wait -n
