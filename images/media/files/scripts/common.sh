# shellcheck shell=sh
# Sourced by the scripts beside it. Each reads INPUT and writes OUTPUT, which appears
# whole or not at all.

usage() {
  sed -n '2,/^[^#]/{ s/^# \{0,1\}//p; }' "$0" >&2
  exit 64
}

# output PATH: sets $part, a name beside PATH with the same ending, which commit moves
# to PATH and which an ending in between removes.
output() {
  target=$1
  case ${1##*/} in
  *.*) part=$(dirname "$1")/.part-$$.${1##*.} ;;
  *) part=$(dirname "$1")/.part-$$ ;;
  esac
  trap 'rm -f "$part"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

commit() {
  mv -f "$part" "$target"
}

# quiet FFMPEG-ARGUMENTS...: ffmpeg that says what is wrong and nothing else, and leaves
# standard input to its caller.
quiet() {
  ffmpeg -nostdin -hide_banner -loglevel error -y "$@"
}
