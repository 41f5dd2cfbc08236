#!/usr/bin/env bash
# conformance.sh NAME|all: proves that one of our images, or each of them, keeps the
# contract. An image is judged by its own checks (images/NAME/checks) and by those of all
# that it extends. REPORT=DIR keeps the reports, each in DIR/NAME.
#
# It builds nothing: an image that is not there is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"
cd "$here/.."

# names lists the images: folders with an image.yaml.
names() {
  local file
  for file in images/*/image.yaml; do
    basename "$(dirname "$file")"
  done
}

# checks_of NAME: the directories of checks of an image and what it extends, the root's first.
checks_of() {
  local parent
  [ -n "$1" ] || return 0
  parent=$(sed -n 's/^extends:[[:space:]]*//p' "images/$1/image.yaml" | tr -d "\"'")
  checks_of "$parent"
  if [ -d "images/$1/checks" ]; then
    printf '%s\n' "images/$1/checks"
  fi
}

judge() {
  local name=$1 image=matrx-sandbox-$1 args=() directory
  [ -f "images/$name/image.yaml" ] || die "there is no image $name; there are: $(names | tr '\n' ' ')"
  [ "$name" != core ] || image=matrx-sandbox
  while read -r directory; do
    args+=(--checks "$directory")
    if grep -rqs '^# service:' "$directory"; then
      "$here/ensure-packages.sh" "$here/services.apt"
    fi
  done < <(checks_of "$name")
  if [ -n "${REPORT:-}" ]; then
    args+=(--report "$REPORT/$name")
  fi
  bin/sandbox conformance "$image:latest" "${args[@]}"
}

[ $# = 1 ] || die "usage: conformance.sh NAME|all"
"$here/ensure-engine.sh"
if [ "$1" != all ]; then
  judge "$1"
  exit
fi
failed=()
for name in $(names); do
  note "judging $name"
  # A shell of its own, so that one image's failure ends neither the others nor errexit.
  "$0" "$name" || failed+=("$name")
done
[ "${#failed[@]}" = 0 ] || die "these images do not keep the contract, or were not there to be judged: ${failed[*]}"
