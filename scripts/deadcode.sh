#!/usr/bin/env bash
# deadcode.sh: fails when no program and no test reaches a function, beside those that are named below. They
# are for importers. A name that is reached after all fails too, so that the list stays true.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DEADCODE=golang.org/x/tools/cmd/deadcode@v0.52.0

importers() {
  sort <<'EOF'
github.com/matrx/sandbox/conformance.Run
github.com/matrx/sandbox/conformance.suite.report
EOF
}

# The tags bring in the tests that are run by hand; a function that only they reach is alive.
unreached() {
  GOFLAGS='' go run "$DEADCODE" -test -tags long,variants,stores \
    -f '{{range .Funcs}}{{if not .Generated}}{{println (printf "%s.%s" $.Path .Name)}}{{end}}{{end}}' "$@" | { grep . || true; } | sort
}

found=$(unreached ./... ./conformance/... ./contract/...)
if ! diff <(importers) <(echo "$found") >&2; then
  echo "> is reached by no program and no test: remove it, or name it in scripts/deadcode.sh; < is reached, and named there" >&2
  exit 1
fi
