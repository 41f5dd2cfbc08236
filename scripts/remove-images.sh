#!/usr/bin/env bash
# Removes this project's images. One that a container uses stays: containers, and the
# volumes that sandboxes keep their homes on, are never removed from here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

if ! docker version >/dev/null 2>&1; then
  note "no engine answers: no images removed"
  exit 0
fi
docker image ls --format '{{.Repository}}:{{.Tag}}' 'matrx-sandbox*' | while read -r image; do
  docker image rm "$image" >/dev/null 2>&1 || note "$image stays: a container uses it"
done
