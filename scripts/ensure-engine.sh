#!/usr/bin/env bash
# Makes sure that a Docker engine answers and that its client can build with
# BuildKit. It changes nothing when both are there.
#
# As root on Debian it installs the engine (docker.io) and starts it. It never
# starts a second engine beside a running one: two of them share the bridge
# docker0, and the second deletes the first one's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/apt.sh
. "$here/apt.sh"

readonly LOG=/var/log/matrx-sandbox-dockerd.log
readonly LOCK=/var/lock/matrx-sandbox-engine.lock
readonly PATIENCE=90 # seconds that a starting engine may take to answer

answers() {
  command -v docker >/dev/null && docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# The PID of a dockerd that runs here, seen in /proc because procps may be missing.
engine_pid() {
  local comm
  for comm in /proc/[0-9]*/comm; do
    if [ "$(cat "$comm" 2>/dev/null)" = dockerd ]; then
      comm=${comm#/proc/}
      echo "${comm%/comm}"
      return 0
    fi
  done
  return 1
}

# Waits until the engine answers. An engine that died meanwhile ends the wait.
await_engine() {
  local deadline=$((SECONDS + PATIENCE))
  until answers; do
    [ -n "$(engine_pid)" ] || return 1
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    systemctl start docker || die "cannot start the engine: see 'systemctl status docker'"
  elif [ -z "$(engine_pid)" ]; then
    note "starting dockerd, log in $LOG"
    # In a session of its own, so that the end of this terminal or make does not
    # end it; without our lock's descriptor, so that it does not keep the lock.
    setsid dockerd >>"$LOG" 2>&1 </dev/null 9>&- &
    disown
    local deadline=$((SECONDS + 5))
    until [ -n "$(engine_pid)" ] || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.1; done
  fi
  if ! await_engine; then
    [ -r "$LOG" ] && tail -n 20 "$LOG" >&2
    die "cannot start the engine: it does not answer after up to $PATIENCE s. Its log is $LOG (or 'journalctl -u docker')"
  fi
}

ensure_engine() {
  answers && return
  [ -z "${DOCKER_HOST:-}" ] || die "no engine answers at DOCKER_HOST=$DOCKER_HOST. Start it, or unset DOCKER_HOST to use one on this machine"
  if [ "$(id -u)" != 0 ]; then
    if [ -n "$(engine_pid)" ]; then
      die "an engine runs, but $(id -un) may not talk to it. Run: sudo usermod -aG docker $(id -un), then log in again"
    fi
    die "no Docker engine answers. Run: sudo $here/ensure-engine.sh, or start your own"
  fi
  # One at a time: parallel make targets may all come here at once.
  exec 9>"$LOCK"
  flock 9
  answers && return
  command -v dockerd >/dev/null || apt_install docker.io
  # Debian 13 has the client in a package of its own.
  command -v docker >/dev/null || apt_install docker-cli
  # Installing it may have started it, and a client may find one that it could not
  # be asked for before.
  answers || start_engine
}

# Debian 12 has no buildx. Debian 13's package is one static program that runs there too.
fetch_buildx() {
  local plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
  fetch_debian13 docker-buildx usr/libexec/docker/cli-plugins/docker-buildx "$plugins/docker-buildx"
}

ensure_buildx() {
  docker buildx version >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-cache >/dev/null && [ -n "$(apt-cache madison docker-buildx 2>/dev/null)" ]; then
    apt_install docker-buildx
  else
    fetch_buildx
  fi
  docker buildx version >/dev/null 2>&1 || die "docker-buildx was installed, but docker does not find it: see 'docker info'"
}

ensure_engine
ensure_buildx
