#!/usr/bin/env bash
# inputs.sh: prints the SHA-256 of what the suite of S3 servers judges and is made of: storage's code without its
# tests, the suite, the scripts of its servers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
git ls-files --cached --others --exclude-standard -- internal/storage ':!internal/storage/*_test.go' internal/e2e/stores ':!internal/e2e/stores/inputs' ':!*.in' scripts/stores |
  LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1
