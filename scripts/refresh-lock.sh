#!/usr/bin/env bash
# Rewrites images/debian.lock: asks Debian's archive, from inside the image that
# base is built from, for the state of each suite. The lock is an input of every
# image, so images are rebuilt, with the updates, exactly when it has changed.
#
#   refresh-lock.sh [IMAGE@DIGEST]    also replaces the image that is pulled
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

readonly LOCK=$here/../images/debian.lock

"$here/ensure-engine.sh"
image=$("$here/ensure-base.sh")
reference=${1:-$(awk '$1 == "image" { print $2 }' "$LOCK")}

# The expressions are expanded in the container.
# shellcheck disable=SC2016
suites=$(docker run --rm "$image" sh -c '
  apt-get update -qq >&2 || exit 1
  for file in /var/lib/apt/lists/*_InRelease; do
    suite=${file#*_dists_}
    date=$(sed -n "s/^Date: //p" "$file")
    echo "suite ${suite%_InRelease} $(date -u -d "$date" +%Y-%m-%dT%H:%M:%SZ) sha256:$(sha256sum <"$file" | cut -d " " -f 1)"
  done | sort') || die "cannot read the state of Debian's suites: see above"

{
  sed '/^[^#]/,$d' "$LOCK"
  echo "image $reference"
  echo "$suites"
} >"$LOCK.new"
mv "$LOCK.new" "$LOCK"
