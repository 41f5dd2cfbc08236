# shellcheck shell=bash
# Sourced by the other scripts: installs Debian packages that a step needs.
#
#   need COMMAND PACKAGE...             installs PACKAGEs unless COMMAND is on the PATH
#   fetch_debian13 PACKAGE FILE TARGET  takes one static program out of a package of Debian 13

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

# It installs no package: apt fetches it from this machine's own mirror, with that suite's
# signature checked, into lists of its own.
fetch_debian13() {
  local package=$1 file=$2 target=$3 keyring=/usr/share/keyrings/debian-archive-keyring.gpg tmp mirror
  if [ ! -r "$keyring" ] || ! command -v apt-get >/dev/null; then
    die "$package is missing. Install it with your system's package tool"
  fi
  # awk reads to the end: apt-get would die of a closed pipe.
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | awk '/\/debian\/?$/ && !found { print; found = 1 }')
  [ -n "$mirror" ] || die "$package is missing, and apt's sources name no mirror of Debian to fetch it from. Install it"
  note "fetching Debian 13's $package for $target"
  tmp=$(mktemp -d)
  mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial" "$(dirname "$target")"
  echo "deb [signed-by=$keyring] $mirror trixie main" >"$tmp/sources.list"
  local apt=(apt-get -q -o "Dir::Etc::SourceList=$tmp/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$tmp/lists" -o "Dir::Cache=$tmp/cache" -o APT::Sandbox::User=)
  if ! (cd "$tmp" && "${apt[@]}" update && "${apt[@]}" download "$package") >"$tmp/log" 2>&1; then
    tail -n 20 "$tmp/log" >&2
    rm -rf "$tmp"
    die "cannot fetch $package from Debian 13, see above"
  fi
  dpkg-deb -x "$tmp/${package}"_*.deb "$tmp/root"
  install -m 755 "$tmp/root/$file" "$target"
  rm -rf "$tmp"
}
