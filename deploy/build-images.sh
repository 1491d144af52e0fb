#!/usr/bin/env bash
# build-images.sh [IMAGE...]: builds the images (all five, or some of openface-au minigpt-v2 qwen-audio llama3
# orchestrator), one after the other, with the names of .env and the commit as revision. The same images as
# `docker-compose build`, and what Compose 1.29 has no word for, from the environment:
#   CA=FILE        a bundle of certificates that pip is to trust while it installs
#   PIP_CONF=FILE  a pip.conf, for a package index of your own
# And for deploy/compose/gpu.yml:
#   EXTRAS=torch         the real engines' images of minigpt-v2, qwen-audio and llama3, and no other if none is named
#   OPENFACE_IMAGE=NAME  an image with OpenFace in it, for the engine `openface` of openface-au (docs/models.md)
# As with Compose, a variable of the shell goes before a line of .env: PYTHON_IMAGE=... names another base image.
set -euo pipefail
cd "$(dirname "$0")/.."
openface=${OPENFACE_IMAGE:-} # before .env's own, which has no OpenFace
while IFS='=' read -r name value; do
  [ -n "${!name+set}" ] || declare "$name=$value"
done < <(grep -E '^[A-Z0-9_]+=' .env)
[ "$REVISION" != unknown ] || REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
secrets=()
[ -z "${CA:-}" ] || secrets+=(--secret "id=ca,src=$CA")
[ -z "${PIP_CONF:-}" ] || secrets+=(--secret "id=pip_conf,src=$PIP_CONF")
names=("$@")
real=(minigpt-v2 qwen-audio llama3)
if [ $# -eq 0 ]; then
  names=(openface-au "${real[@]}" orchestrator)
  [ -z "${EXTRAS:-}" ] || names=("${real[@]}")
fi
for name in "${names[@]}"; do
  folder=services/${name//-/_}
  [ "$name" != orchestrator ] || folder=orchestrator
  image=${name^^}_IMAGE
  image=${image//-/_}
  dockerfile=$folder/Dockerfile
  more=()
  [ "$name" != openface-au ] || [ -z "$openface" ] || more=(--build-arg "OPENFACE_IMAGE=$openface")
  if [ -n "${EXTRAS:-}" ] && [[ " ${real[*]} " == *" $name "* ]]; then
    image=${image%_IMAGE}_GPU_IMAGE
    [ "$name" != llama3 ] || dockerfile=$LLAMA3_GPU_DOCKERFILE
    more=(--build-arg "EXTRAS=$EXTRAS")
  fi
  DOCKER_BUILDKIT=1 docker build "${secrets[@]}" "${more[@]}" -f "$dockerfile" -t "${!image}" \
    --build-arg PYTHON_IMAGE="$PYTHON_IMAGE" --build-arg VERSION="$VERSION" --build-arg REVISION="$REVISION" .
  echo "${!image}: $(docker image inspect -f '{{.Size}}' "${!image}" | awk '{printf "%d MB", $1 / 1e6}')"
done
