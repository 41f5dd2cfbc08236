#!/usr/bin/env bash
# test-path.sh DIR [LIST]...: makes DIR hold links to the programs that a test may count on, and to
# no others: those of the packages that every Debian has, of the packages in the LISTs (without one:
# scripts/test.apt) and what these depend on, and the prerequisites that README.md names. With DIR as
# its PATH, a test that needs a package which no list installs fails on every machine, and not
# only on a fresh one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

[ $# -ge 1 ] || die "usage: test-path.sh DIR [LIST]..."
dir=$1
shift
[ $# -gt 0 ] || set -- "$here/test.apt"

readonly PREREQUISITES=(go gofmt git make)

# packages LIST... prints the names of the packages.
packages() {
  dpkg-query -W -f '${Essential}\t${Priority}\t${Package}\n' | awk -F '\t' '$1 == "yes" || $2 == "required" { print $3 }'
  local named
  named=$(sed 's/#.*//; /^[[:space:]]*$/d' "$@")
  # shellcheck disable=SC2086 # names are words
  apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances $named | grep '^[a-z0-9]'
}

# programs NAME... prints the paths of the packages' programs.
programs() {
  dpkg-query -L "$@" 2>/dev/null | grep -E '^(/usr)?/s?bin/[^/]+$' | sort -u
}

# alternative NAME DIR prints the path of what NAME is by update-alternatives(1), where that is in DIR: what is chosen, or
# another where a package of no list was chosen. awk is mawk, also on a machine that has gawk.
alternative() {
  local target
  for target in "$(readlink "/etc/alternatives/$1")" $(update-alternatives --list "$1" 2>/dev/null); do
    if [ -n "$target" ] && [ -e "$2/${target##*/}" ]; then
      printf '%s\n' "$target"
      return
    fi
  done
}

make_links() {
  local path name target
  while read -r path; do
    if [ -x "$path" ]; then ln -sf "$path" "$1/${path##*/}"; fi
  done
  while read -r path; do
    target=$(alternative "${path##*/}" "$1")
    if [ -n "$target" ]; then ln -sf "$target" "$1/${path##*/}"; fi
  done < <(find /usr/bin /usr/sbin -lname '/etc/alternatives/*')
  for name in "${PREREQUISITES[@]}"; do
    path=$(command -v "$name") || die "there is no $name on the PATH: README.md says what a machine needs"
    ln -sf "$path" "$1/$name"
  done
  # scripts/ensure-engine.sh takes any engine that answers, from any package; unit tests need none.
  if path=$(command -v docker); then ln -sf "$path" "$1/docker"; fi
}

mkdir -p "$dir"
# Not all that depends on a package is installed: dpkg-query says so, and lists the others.
# shellcheck disable=SC2046 # names are words
{ programs $(packages "$@" | sort -u) || true; } | make_links "$dir"
