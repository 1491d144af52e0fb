#!/usr/bin/env bash
# build-images.sh [IMAGE...]: builds the images (all, or some: the services by their names, and orchestrator), one after
# the other, with the names of .env and the commit as revision. The same images as `docker-compose build`, and what
# Compose 1.29 has no word for, from the environment:
#   CA=FILE        a bundle of certificates that pip is to trust while it installs
#   PIP_CONF=FILE  a pip.conf, for a package index of your own
# And for deploy/compose/gpu.yml:
#   EXTRAS=torch         the real engines' images, and no others if none is named
#   EXTRAS=vllm          with llama3: its image with vLLM; LLAMA3_GPU_IMAGE names it
#   OPENFACE_IMAGE=NAME  an image with OpenFace in it, for the engine `openface` of openface-au (docs/models.md)
# As with Compose, a variable of the shell overrides .env: PYTHON_IMAGE=... names another base image.
set -euo pipefail
cd "$(dirname "$0")/.."
# >>> services: make generated
services=(openface-au minigpt-v2 qwen-audio llama3 whisper)
real=(minigpt-v2 qwen-audio llama3)
declare -A ports targets
ports[openface-au]=50051 targets[openface-au]=openface
ports[minigpt-v2]=50052 targets[minigpt-v2]=service
ports[qwen-audio]=50053 targets[qwen-audio]=service
ports[llama3]=50054 targets[llama3]=service
ports[whisper]=50055 targets[whisper]=service
# <<< services
if [ -n "${LLAMA3_GPU_DOCKERFILE:-}" ]; then
  echo "build-images.sh: LLAMA3_GPU_DOCKERFILE is gone; vLLM's image is EXTRAS=vllm LLAMA3_GPU_IMAGE=... $0 llama3" >&2
  exit 2
fi
openface=${OPENFACE_IMAGE:-} # before .env's own, which has no OpenFace
while IFS='=' read -r name value; do
  [ -n "${!name+set}" ] || declare "$name=$value"
done < <(grep -E '^[A-Z0-9_]+=' .env)
[ "$REVISION" != unknown ] || REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
options=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION")
[ -z "${CA:-}" ] || options+=(--secret "id=ca,src=$CA")
[ -z "${PIP_CONF:-}" ] || options+=(--secret "id=pip_conf,src=$PIP_CONF")
names=("$@")
if [ $# -eq 0 ]; then
  names=("${services[@]}" orchestrator)
  [ -z "${EXTRAS:-}" ] || names=("${real[@]}")
fi
for name in "${names[@]}"; do
  folder=${name//-/_}
  image=${folder^^}_IMAGE
  if [ "$name" = orchestrator ]; then
    more=(-f orchestrator/Dockerfile)
  else
    target=${targets[$name]:?no such service: $name}
    more=(-f services/Dockerfile --build-arg "SERVICE=$name" --build-arg "FOLDER=$folder")
    more+=(--build-arg "PREFIX=MERRFLOW_${folder^^}_" --build-arg "PORT=${ports[$name]}")
    [ "$target" != openface ] || [ -z "$openface" ] || more+=(--build-arg "OPENFACE_IMAGE=$openface")
    if [ -n "${EXTRAS:-}" ] && [[ " ${real[*]} " == *" $name "* ]]; then
      image=${folder^^}_GPU_IMAGE
      more+=(--build-arg "EXTRAS=$EXTRAS")
      [ "$EXTRAS" != vllm ] || target=vllm
    fi
    more+=(--target "$target")
  fi
  DOCKER_BUILDKIT=1 docker build "${options[@]}" "${more[@]}" -t "${!image}" .
  echo "${!image}: $(docker image inspect -f '{{.Size}}' "${!image}" | awk '{printf "%d MB", $1 / 1e6}')"
done
