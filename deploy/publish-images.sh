#!/usr/bin/env bash
# publish-images.sh REGISTRY/PATH VARIABLE...: pushes the images that these variables of .env name (LLAMA3_IMAGE), and
# prints, for the .env of those who use them, a line for each, with its digest. If COSIGN is set, each digest is signed
# with that command: COSIGN='cosign sign --yes'.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 1 ] || { sed -n '2,4s/^# //p' "$0" >&2 && exit 2; }
registry=${1%/}
shift
for variable in "$@"; do
  image=${!variable:-$(sed -n "s/^$variable=//p" .env)}
  [ -n "$image" ] || { echo "publish-images.sh: .env has no $variable" >&2 && exit 2; }
  there=$registry/${image##*/}
  docker tag "$image" "$there"
  docker push -q "$there" >&2
  digest=$(docker image inspect -f '{{range .RepoDigests}}{{println .}}{{end}}' "$there" | grep "^${there%:*}@" | tail -n 1)
  # shellcheck disable=SC2086  # a command with its options
  [ -z "${COSIGN:-}" ] || $COSIGN "$digest" >&2
  echo "$variable=$digest"
done
