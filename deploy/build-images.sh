#!/usr/bin/env bash
# build-images.sh [SERVICE...]: builds the images (all five, or some of openface-au minigpt-v2 qwen-audio llama3
# orchestrator), one after the other, with the names of .env and the commit as revision. The same images as
# `docker-compose build`, and what Compose 1.29 has no word for, from the environment:
#   CA=FILE        a bundle of certificates that pip is to trust while it installs
#   PIP_CONF=FILE  a pip.conf, for a package index of your own
#   PYTHON_IMAGE=NAME   another base image: Debian with Python 3.11 or newer, and its venv
set -euo pipefail
cd "$(dirname "$0")/.."
given=${PYTHON_IMAGE:-}
source ./.env
secrets=()
[ -z "${CA:-}" ] || secrets+=(--secret "id=ca,src=$CA")
[ -z "${PIP_CONF:-}" ] || secrets+=(--secret "id=pip_conf,src=$PIP_CONF")
revision=$(git rev-parse HEAD 2>/dev/null || echo "$REVISION")
names=("$@")
[ $# -gt 0 ] || names=(openface-au minigpt-v2 qwen-audio llama3 orchestrator)
for name in "${names[@]}"; do
  folder=services/${name//-/_}
  [ "$name" != orchestrator ] || folder=orchestrator
  image=${name^^}_IMAGE
  image=${image//-/_}
  DOCKER_BUILDKIT=1 docker build "${secrets[@]}" -f "$folder/Dockerfile" -t "${!image}" \
    --build-arg PYTHON_IMAGE="${given:-$PYTHON_IMAGE}" --build-arg VERSION="$VERSION" \
    --build-arg REVISION="$revision" .
  echo "${!image}: $(docker image inspect -f '{{.Size}}' "${!image}" | awk '{printf "%d MB", $1 / 1e6}')"
done
