#!/usr/bin/env bash
# build-images.sh [IMAGE...]: builds the images (all, or some: the services by their names, and orchestrator), one after
# the other, with the names of .env and the commit as revision. The same images as `docker-compose build`, and what
# Compose 1.29 has no word for, from the environment:
#   CA=FILE        a bundle of certificates that pip is to trust while it installs
#   PIP_CONF=FILE  a pip.conf, for a package index of your own
# And for deploy/compose/gpu.yml:
#   EXTRAS=torch         the real engines' images, and no others if none is named
#   EXTRAS=vllm          with llama3: its image with vLLM; LLAMA3_GPU_IMAGE names it, with -vllm where .env says -torch
#   TORCH_CUDA=cu126     with a build of torch for an older driver (docs/gpu-server.md); TORCH_INDEX is a mirror of
#                        https://download.pytorch.org/whl
# And for deploy/compose/openface.yml:
#   EXTRAS=openface      the image with OpenFace, copied from OPENFACE_IMAGE; no other if none is named
# As with Compose, a variable of the shell overrides .env: PYTHON_IMAGE=... names another base image.
set -euo pipefail
cd "$(dirname "$0")/.."
# >>> services: make generated
services=(openface-au minigpt-v2 qwen-audio llama3 whisper)
real=(minigpt-v2 qwen-audio llama3)
declare -A ports
ports[openface-au]=50051
ports[minigpt-v2]=50052
ports[qwen-audio]=50053
ports[llama3]=50054
ports[whisper]=50055
# <<< services
if [ -n "${LLAMA3_GPU_DOCKERFILE:-}" ]; then
  echo "build-images.sh: LLAMA3_GPU_DOCKERFILE is gone; vLLM's image is EXTRAS=vllm LLAMA3_GPU_IMAGE=... $0 llama3" >&2
  exit 2
fi
[ -z "${OPENFACE_IMAGE:-}" ] || [ -n "${EXTRAS:-}" ] || EXTRAS=openface # who names it in the shell wants no other
while IFS='=' read -r name value; do
  [ -n "${!name+set}" ] || declare "$name=$value"
done < <(grep -E '^[A-Z0-9_]+=' .env)
[ "$REVISION" != unknown ] || REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
options=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION")
[ -z "${CA:-}" ] || options+=(--secret "id=ca,src=$CA")
[ -z "${TORCH_INDEX:-}" ] || options+=(--build-arg "TORCH_INDEX=$TORCH_INDEX")
[ -z "${PIP_CONF:-}" ] || options+=(--secret "id=pip_conf,src=$PIP_CONF")
names=("$@")
if [ $# -eq 0 ]; then
  names=("${services[@]}" orchestrator)
  [ -z "${EXTRAS:-}" ] || names=("${real[@]}")
  if [ "${EXTRAS:-}" = vllm ]; then # those that have such an extra
    names=($(grep -l '^vllm = ' services/*/pyproject.toml | cut -d/ -f2 | tr _ -))
  elif [ "${EXTRAS:-}" = openface ]; then # the one that has such an image in .env
    names=($(compgen -v | sed -n 's/_OPENFACE_IMAGE$//p' | tr A-Z_ a-z-))
  fi
fi
for name in "${names[@]}"; do
  folder=${name//-/_}
  image=${folder^^}_IMAGE
  if [ "$name" = orchestrator ]; then
    more=(-f orchestrator/Dockerfile)
  else
    target=service port=${ports[$name]:?no such service: $name}
    more=(-f services/Dockerfile --build-arg "SERVICE=$name" --build-arg "FOLDER=$folder")
    more+=(--build-arg "PREFIX=MERRFLOW_${folder^^}_" --build-arg "PORT=$port")
    if [ "${EXTRAS:-}" = openface ]; then
      image=${folder^^}_OPENFACE_IMAGE target=openface
      [ -n "${!image:-}" ] || { echo "build-images.sh: OpenFace is no engine of $name" >&2 && exit 2; }
      more+=(--build-arg "OPENFACE_IMAGE=$OPENFACE_IMAGE")
    elif [ -n "${EXTRAS:-}" ] && [[ " ${real[*]} " == *" $name "* ]]; then
      image=${folder^^}_GPU_IMAGE
      more+=(--build-arg "EXTRAS=$EXTRAS" --build-arg "TORCH_CUDA=$TORCH_CUDA")
      if [ "$EXTRAS" = vllm ]; then
        target=vllm
        grep -q '^vllm = ' "services/$folder/pyproject.toml" || {
          echo "build-images.sh: vLLM is no engine of $name" >&2
          exit 2
        }
        declare "$image=${!image/%-torch/-vllm}" # never over the image with torch, which .env names
      fi
    fi
    more+=(--target "$target")
  fi
  DOCKER_BUILDKIT=1 docker build "${options[@]}" "${more[@]}" -t "${!image}" .
  echo "${!image}: $(docker image inspect -f '{{.Size}}' "${!image}" | awk '{printf "%d MB", $1 / 1e6}')"
done
