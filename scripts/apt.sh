# shellcheck shell=bash
# Sourced by the other scripts: installs Debian packages that a step needs.
#
#   need COMMAND PACKAGE...   installs PACKAGEs unless COMMAND is on the PATH

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

note() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# Without recommends and questions; the package lists are fetched only when the
# ones at hand do not know a package or point at versions that are gone.
apt_install() {
  [ "$(id -u)" = 0 ] || die "cannot install $*: not root. Run: sudo apt-get install $*"
  command -v apt-get >/dev/null || die "cannot install $*: this is no Debian. Install them with your system's package tool"
  local log
  log=$(mktemp)
  note "installing $*"
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null; then
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
      tail -n 30 "$log" >&2
      rm -f "$log"
      die "cannot install $*: apt-get failed, see above"
    fi
  fi
  rm -f "$log"
}

need() {
  local command=$1
  shift
  command -v "$command" >/dev/null || apt_install "$@"
}
