#!/usr/bin/env bash
# run.sh tree|ceph|swift: makes a tree of Debian packages in .cache/stores (733 MB, some minutes), when it is not there
# or has other packages; runs an S3 server out of that tree until it is ended. Root only: it needs chroot(2),
# and namespaces of its own, so that everything that it started ends with it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)/.cache/stores
# shellcheck source=scripts/apt.sh
. "$here/../apt.sh"

readonly PACKAGES=ceph-mon,ceph-osd,ceph-mgr,radosgw,ceph-common,swift,swift-account,swift-container,swift-object,swift-proxy,memcached

tree() {
  [ "$(cat "$root/made" 2>/dev/null)" != "$PACKAGES" ] || return 0
  need mmdebstrap mmdebstrap
  note "making a tree of Debian packages in $root"
  rm -rf --one-file-system "$root"
  mkdir -p "${root%/*}"
  mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --aptopt='APT::Install-Recommends "false"' bookworm "$root"
  echo "$PACKAGES" >"$root/made"
}

[[ "${1:-}" =~ ^(tree|ceph|swift)$ ]] || die "usage: run.sh tree|ceph|swift"
[ "$(id -u)" = 0 ] || die "not root: the servers run in a chroot"
mkdir -p "${root%/*}"
exec 9>"$root.lock"
flock 9
tree
[ "$1" != tree ] || exit 0
install -m 755 "$here/$1.sh" "$root/start-$1"
install -D -m 644 "$here/ceph.conf" "$root/srv/ceph/ceph.conf"
# The lock is held while the server runs: its ports and its data are one.
# It takes no SIGTERM: what ends it is a SIGKILL.
# shellcheck disable=SC2016
exec unshare --mount --pid --fork --kill-child bash -c '
  mount -t proc proc "$0/proc"
  mount -t tmpfs tmpfs "$0/tmp"
  mount --rbind /dev "$0/dev"
  exec chroot "$0" "/start-$1"' "$root" "$1"
