#!/usr/bin/env bash
# guard.sh COMMAND [ARG]...: runs tests so that they prove two things beside what they test:
# that they leave the machine as it was (internal/testbed/leftovers), and that they need no program
# which the package lists do not bring (scripts/test-path.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"
cd "$here/.."

if [ "${1:-}" != --inside ]; then
  CGO_ENABLED=0 go build -o .cache/bin/leftovers ./internal/testbed/leftovers
  exec .cache/bin/leftovers -record .cache/tests-running.json "$here/guard.sh" --inside "$@"
fi
shift
if ! command -v dpkg-query >/dev/null || ! command -v apt-cache >/dev/null; then
  note "this is no Debian: the tests run with all of your PATH"
  exec "$@"
fi
# In the run's own directory for temporary files, where the agent's processes reach it too.
trap 'rm -rf "$TMPDIR/path"' EXIT
"$here/test-path.sh" "$TMPDIR/path"
PATH=$TMPDIR/path "$@"
