#!/usr/bin/env bash
# test.sh unit|e2e|all: runs the tests and ends with one summary of all of them.
#
# unit   what needs no container, under the race detector
# e2e    what runs in containers, which need the images: one package after the other,
#        since each of them fills the machine
#
# RUN narrows by go test's -run; FLAGS are more flags for go test. A test that needs a program which
# no package list brings fails, and so does a run that leaves something on the machine: guard.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

readonly GOTESTSUM=gotest.tools/gotestsum@v1.13.0

# What gotestsum reads: go test's own JSON, of one run after the other.
events() {
  local failed=0 unit=() e2e=() package flags=()
  read -r -a flags <<<"${FLAGS:-}"
  if [ -n "${RUN:-}" ]; then
    flags+=(-run "$RUN")
  fi
  # Outside the loop's condition, so that a tree that does not load is a failure.
  local packages
  packages=$(go list ./... ./conformance/... ./contract/...)
  for package in $packages; do
    case $package in
    # It judges the suite, not the product, and takes as long as all the rest: make mutants.
    */conformance/mutation) ;;
    */internal/e2e | */internal/e2e/* | */conformance/outsider) e2e+=("$package") ;;
    *) unit+=("$package") ;;
    esac
  done
  if [ "$1" != e2e ]; then
    CGO_ENABLED=1 go test -json -race -timeout 15m "${flags[@]}" "${unit[@]}" || failed=1
  fi
  if [ "$1" != unit ]; then
    go test -json -p 1 -timeout 30m "${flags[@]}" "${e2e[@]}" || failed=1
  fi
  return "$failed"
}

if [ "${1:-}" = events ]; then
  events "$2"
  exit
fi
case ${1:-} in
unit | e2e | all) ;;
*)
  echo "usage: test.sh unit|e2e|all" >&2
  exit 2
  ;;
esac
exec "$here/guard.sh" go run "$GOTESTSUM" --format pkgname --format-icons text --hide-summary skipped \
  --raw-command -- "$here/test.sh" events "$1"
