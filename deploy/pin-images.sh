#!/usr/bin/env bash
# pin-images.sh [VARIABLE...]: adds to images of others that .env names (all, or these) the digest that their registry has
# for the tag now, and pulls them: from then on the tag may move, and nothing changes here.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- PYTHON_IMAGE POSTGRES_IMAGE PROMETHEUS_IMAGE GRAFANA_IMAGE OLLAMA_IMAGE LLAMA_SERVER_IMAGE \
  VLLM_IMAGE OPENFACE_IMAGE
file=${ENV_FILE:-.env}
for variable in "$@"; do
  image=$(sed -n "s/^$variable=//p" "$file")
  [ -n "$image" ] || { echo "pin-images.sh: $file has no $variable" >&2 && exit 2; }
  tag=${image%@*}
  docker pull -q "$tag" >&2
  digest=$(docker image inspect -f '{{range .RepoDigests}}{{println .}}{{end}}' "$tag" | grep "${tag%:*}@" | tail -n 1)
  sed -i "s|^$variable=.*|$variable=$tag@${digest#*@}|" "$file"
  grep "^$variable=" "$file"
done
