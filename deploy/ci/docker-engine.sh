#!/usr/bin/env bash
# docker-engine.sh: installs what the container tests need and what is not there yet, on a Debian 12 machine, as root:
# Docker's engine, docker-compose 1.29 and Compose 2 from Debian's packages, the base image, and PostgreSQL's; these are
# pulled or, if no registry can be reached, made from Debian's packages (tests/deploy/images).
set -euo pipefail
cd "$(dirname "$0")/../.."
ci=$PWD/deploy/ci
stand_in=merrflow/test-postgres:15 # tests/deploy/stack.py looks for it
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

say() { echo "docker-engine.sh: $*" >&2; }

default() { # NAME: from the shell, else from .env
  [ -n "${!1:-}" ] && echo "${!1}" || sed -n "s/^$1=//p" .env
}

pull() { # IMAGE: true if it is there or can be pulled
  docker image inspect "$1" >/dev/null 2>&1 || timeout 600 docker pull -q "$1" >"$work/pull.log" 2>&1
}

missing=()
command -v docker >/dev/null || missing+=(docker.io)
command -v docker-compose >/dev/null || missing+=(docker-compose)
[ ${#missing[@]} -eq 0 ] || "$ci/install.sh" "${missing[@]}" ca-certificates

if ! docker info >/dev/null 2>&1; then
  command -v dockerd >/dev/null || "$ci/install.sh" docker.io
  say "starting dockerd"
  setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &
  for _ in $(seq 60); do
    sleep 1
    ! docker info >/dev/null 2>&1 || break
  done
  docker info >/dev/null 2>&1 || {
    tail -n 5 /var/log/dockerd.log >&2
    say "dockerd does not start; its log is /var/log/dockerd.log"
    exit 1
  }
fi

if ! docker compose version >/dev/null 2>&1; then
  say "fetching Compose 2 from the next Debian"
  mkdir -p /usr/local/lib/docker/cli-plugins
  "$ci/next-debian.sh" docker-compose "$work/compose"
  cp "$work/compose/usr/libexec/docker/cli-plugins/docker-compose" /usr/local/lib/docker/cli-plugins/
  docker compose version >&2
fi

base=$(default PYTHON_IMAGE)
if ! pull "$base"; then
  say "$base cannot be pulled; making it from Debian's packages"
  command -v debootstrap >/dev/null || "$ci/install.sh" debootstrap
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip \
    bookworm "$work/base" "$("$ci/mirror.sh")" >"$work/debootstrap.log" || {
    tail -n 5 "$work/debootstrap.log" >&2
    exit 1
  }
  tar -C "$work/base" -c . | docker import - "$base" >/dev/null
fi

if ! pull "$(default POSTGRES_IMAGE)"; then
  say "$(default POSTGRES_IMAGE) cannot be pulled; using $stand_in, made from Debian's packages"
  DOCKER_BUILDKIT=1 docker build -q -t "$stand_in" --build-arg PYTHON_IMAGE="$base" tests/deploy/images/postgres >/dev/null
fi
say "ready: $(docker version -f 'engine {{.Server.Version}}'), $(docker-compose version --short), $(docker compose version --short)"
