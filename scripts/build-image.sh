#!/usr/bin/env bash
# build-image.sh NAME REFERENCE...: builds a stage of Dockerfile.core and names it.
# bin/linux-ARCH/sandbox-init must be there already (make build).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

[ $# -ge 2 ] || die "usage: build-image.sh NAME REFERENCE..."
name=$1
shift
cd "$here/.."

"$here/ensure-engine.sh"
base=$("$here/ensure-base.sh")
args=(--file Dockerfile.core --target "$name" --build-arg "BASE_IMAGE=$base")
for reference in "$@"; do
  args+=(--tag "$reference")
done

# A proxy that signs with its own authority is one that this machine trusts. Build
# steps get the list of authorities as a secret: it is no part of the image.
for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  if [ -n "$bundle" ] && [ -r "$bundle" ]; then
    args+=(--secret "id=ca-bundle,src=$bundle")
    break
  fi
done
for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [ -n "${!variable:-}" ]; then
    args+=(--build-arg "$variable")
  fi
done

mkdir -p .cache
log=.cache/build-$name.log
start=$SECONDS
note "building $1"
if ! docker buildx build --load --progress plain "${args[@]}" . >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  die "cannot build $1: see above and $log"
fi
note "$1 is ready: $(docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f MB", $1 / 1e6 }'), $((SECONDS - start)) s, log in $log"
