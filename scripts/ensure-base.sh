#!/usr/bin/env bash
# Makes sure that the Debian image that base is built from exists, and prints its
# name, which carries the digest of images/debian.lock: another lock, another image.
#
# It is pulled by the digest in the lock where a registry answers, else made from
# Debian's archive by mmdebstrap, whose own list of suites has the updates and the
# security fixes. Files are dated by the lock at the latest, so that the same
# archive gives the same layer.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

readonly LOCK=$here/../images/debian.lock
readonly SUITE=trixie

lock_digest=$(sha256sum "$LOCK" | cut -c 1-12)
image=matrx-sandbox-debian:$SUITE-$lock_digest

exists() {
  docker image inspect "$image" >/dev/null 2>&1
}

pull() {
  local reference
  reference=$(awk '$1 == "image" { print $2 }' "$LOCK")
  [ -n "$reference" ] || return 1
  note "pulling $reference"
  timeout 300 docker pull -q "$reference" >/dev/null 2>&1 || return 1
  docker tag "$reference" "$image"
}

build() {
  need mmdebstrap mmdebstrap
  local tmp epoch
  tmp=$(mktemp -d)
  # shellcheck disable=SC2064 # tmp is local: expand it now
  trap "rm -rf '$tmp'" EXIT
  epoch=$(awk '$1 == "suite" { print $3 }' "$LOCK" | sort | tail -n 1)
  note "no registry answers: making $image with mmdebstrap (half a minute)"
  # mmdebstrap gives its hooks the new root as $1.
  # shellcheck disable=SC2016
  if ! SOURCE_DATE_EPOCH=$(date -u -d "$epoch" +%s) mmdebstrap --variant=minbase --skip=output/dev \
    --dpkgopt="$here/../images/base/files/dpkg.cfg" --aptopt="$here/../images/base/files/apt.conf" \
    --customize-hook='rm -f "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/resolv.conf "$1"/etc/hostname' \
    --customize-hook='find "$1" -xdev \( -type f -o -type d \) -perm /6000 -exec chmod a-s {} +' \
    "$SUITE" "$tmp/debian.tar" >"$tmp/log" 2>&1; then
    tail -n 30 "$tmp/log" >&2
    die "cannot make $image: mmdebstrap failed, see above. It needs Debian's archive, and root or unprivileged user namespaces"
  fi
  docker import --message "Debian $SUITE, $(basename "$LOCK") $lock_digest" "$tmp/debian.tar" "$image" >/dev/null
}

exists || pull || build
exists || die "$image was made, but docker does not know it: see 'docker image ls'"
echo "$image"
