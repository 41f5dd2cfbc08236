#!/usr/bin/env bash
# ensure-packages.sh LIST: installs the Debian packages of LIST that are missing, one
# a line, "#" starts a comment.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

command -v dpkg-query >/dev/null || die "this is no Debian: install yourself what $1 lists"
missing=()
while read -r package; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done < <(sed 's/#.*//; /^[[:space:]]*$/d' "$1")
if [ "${#missing[@]}" -gt 0 ]; then
  apt_install "${missing[@]}"
fi
