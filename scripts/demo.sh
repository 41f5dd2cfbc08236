#!/usr/bin/env bash
# The demonstration: a sandbox is killed with SIGKILL in the middle of its work, the
# next one of the same user finds every file, and is stopped gracefully. It prints what
# was measured, and fails when a checksum differs.
#
# `make demo` builds what is missing before it comes here; called by itself this script
# does so too. Everything happens in a directory of its own, which is removed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

readonly IMAGE=${DEMO_IMAGE:-matrx-sandbox:latest}
readonly SANDBOX=$PWD/bin/sandbox

"$here/ensure-engine.sh"
[ -x "$SANDBOX" ] || make --no-print-directory programs
docker image inspect "$IMAGE" >/dev/null 2>&1 || make --no-print-directory core

data=$(mktemp -d)
export SANDBOX_DATA_DIR=$data
suffix=$$
readonly FIRST=demo-first-$suffix SECOND=demo-second-$suffix

# Nothing of it stays, however it ends. The daemon of the data directory ends by itself
# after its last sandbox.
clean_up() {
  local code=$?
  set +e
  "$SANDBOX" rm --force "$FIRST" "$SECOND" >/dev/null 2>&1
  rm -rf "$data"
  exit "$code"
}
trap clean_up EXIT

say() {
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    printf '\n\033[1m%s\033[0m\n' "$*"
  else
    printf '\n%s\n' "$*"
  fi
}
now() { date +%s%N; }
# Milliseconds since $1, as seconds.
since() { awk -v ns="$(($(now) - $1))" 'BEGIN { printf "%.2f s", ns / 1e9 }'; }
inside() { "$SANDBOX" exec -i "$1" -- bash -euo pipefail -s; }
# A field of what the storage process says of itself, from inside.
status() { "$SANDBOX" exec "$1" -- bash -c "sandbox-init status --json | jq -r '$2'"; }

say "1. A sandbox of the user \"demo\" starts with an empty home"
t=$(now)
"$SANDBOX" run --detach --user-id demo --sandbox-id "$FIRST" --image "$IMAGE" >/dev/null
start_first=$(since "$t")
echo "ready after $start_first"

say "2. Its agent works: a git repository, some files, an empty directory, a link, a mode"
inside "$FIRST" <<'WORK'
cd ~
export GIT_AUTHOR_NAME=agent GIT_AUTHOR_EMAIL=agent@example.com GIT_COMMITTER_NAME=agent GIT_COMMITTER_EMAIL=agent@example.com
git init -q -b main project
cd project
for n in $(seq 20); do
  mkdir -p "src/part$((n % 4))"
  seq "$n" "$((n * 50))" >"src/part$((n % 4))/file$n.txt"
  git add -A
  git commit -q -m "Add file $n"
done
cd ..
head -c 3000000 /dev/urandom >data.bin
mkdir -p notes/empty
printf 'three lines\nof a note\nand a name with blanks\n' >'notes/to do.md'
ln -s ../data.bin notes/latest
printf '#!/bin/sh\necho it runs\n' >run.sh
chmod 750 run.sh
# What there is, to be compared later: names and kinds of everything, targets of links,
# and of files content, mode, and time to the nanosecond.
list() { find . -mindepth 1 ! -name '.facts-*' \( -type d -printf 'd %p\n' -o -type l -printf 'l %p %l\n' -o -printf 'f %p %m %T@\n' \) | sort; find . -type f ! -name '.facts-*' -print0 | sort -z | xargs -0 sha256sum; }
list >.facts-before
printf '%s files and directories, %s of content, %s commits\n' "$(grep -c '^[dfl] ' .facts-before)" "$(du -sh --apparent-size . | cut -f1)" "$(git -C project rev-list --count HEAD)"
WORK
t=$(now)
"$SANDBOX" exec "$FIRST" -- sandbox-init checkpoint
checkpoint=$(since "$t")

say "3. SIGKILL"
docker kill --signal KILL "sandbox-$FIRST" >/dev/null
"$SANDBOX" stop "$FIRST" || true # nothing to stop: it tells how it ended

say "4. The next sandbox of the same user, on an empty volume of its own"
t=$(now)
"$SANDBOX" run --detach --user-id demo --sandbox-id "$SECOND" --image "$IMAGE" >/dev/null
start_second=$(since "$t")
echo "ready after $start_second"
inside "$SECOND" <<'COMPARE'
cd ~
list() { find . -mindepth 1 ! -name '.facts-*' \( -type d -printf 'd %p\n' -o -type l -printf 'l %p %l\n' -o -printf 'f %p %m %T@\n' \) | sort; find . -type f ! -name '.facts-*' -print0 | sort -z | xargs -0 sha256sum; }
list >.facts-after
cmp .facts-before .facts-after || { diff .facts-before .facts-after; exit 1; }
git -C project fsck --strict --no-progress
[ -z "$(git -C project status --porcelain)" ]
[ "$(./run.sh)" = 'it runs' ]
printf 'all %s files and directories are as they were: checksums, modes, times, links, empty directories; the repository is whole\n' "$(grep -c '^[dfl] ' .facts-after)"
date >project/since.txt
COMPARE
hydrated=$(status "$SECOND" '.storage.hot | "\(.hydrated_files) \(.files) \(.bytes) \(.hydrate_took_ns)"')

say "5. It is stopped gracefully"
t=$(now)
"$SANDBOX" stop --json "$SECOND" 2>"$data/end"
stop=$(since "$t")
grep -q '"saved":true' "$data/end" || die "the stop did not save everything: $(cat "$data/end")"

# A number of the last line's "flush" object.
flush() { sed -n 's/.*"flush":{\([^}]*\)}.*/\1/p' "$data/end" | tr ',' '\n' | sed -n "s/^\"$1\"://p"; }
read -r files _ _ hydrate_ns <<<"$hydrated"
bytes=$(du -sb --apparent-size "$data/s3/workspaces/users/demo/hot" | cut -f1)

say "What was measured"
row() { printf '  %-34s %s\n' "$1" "$2"; }
row "start, empty home" "$start_first"
row "checkpoint of all that was written" "$checkpoint"
row "start after the kill" "$start_second"
row "  of which hydrate" "$(awk -v ns="$hydrate_ns" 'BEGIN { printf "%.2f s", ns / 1e9 }') for $files files"
row "stop" "$stop"
row "  of which flush" "$(awk -v ns="$(flush took_ns)" 'BEGIN { printf "%.2f s", ns / 1e9 }') for $(flush files) changed files, $(flush bytes) bytes"
row "kept in S3" "$(find "$data/s3/workspaces/users/demo/hot" -type f | wc -l) objects, $bytes bytes"
echo
echo "Every file of the killed sandbox was there again."
