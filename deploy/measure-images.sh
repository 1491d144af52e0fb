#!/usr/bin/env bash
# measure-images.sh: the size of each image, and how long its service takes from `docker run` to healthy with the embedded
# engine, one after the other; at the end the size of all together, with a layer that several have counted once. Ends
# with 1 if a service is not healthy after two minutes, or its image is not below 1 GB.
# measure-images.sh IMAGE...: the sizes of these images alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# >>> services: make generated
services=(openface-au minigpt-v2 qwen-audio llama3)
# <<< services
together() { # IMAGE...: MB, each layer once: one that several images have was made at the same time in each
  for image in "$@"; do
    docker history --no-trunc --human=false --format '{{.Size}} {{.CreatedAt}} {{.CreatedBy}}' "$image"
  done | sort -u | awk '{sum += $1} END {printf "%d", sum / 1e6}'
}
megabytes() { docker image inspect -f '{{.Size}}' "$1" | awk '{printf "%d", $1 / 1e6}'; }
if [ $# -gt 0 ]; then
  for image in "$@"; do printf '%-36s %8s\n' "$image" "$(megabytes "$image")"; done
  printf '%-36s %8s\n' 'all, shared layers once' "$(together "$@")"
  exit
fi
container=
trap '[ -z "$container" ] || docker rm -f "$container" >/dev/null' EXIT
failed=0
images=()
printf '%-36s %8s %16s\n' image MB 'healthy after s'
for name in "${services[@]}" orchestrator; do
  variable=${name//-/_}
  variable=${variable^^}_IMAGE
  image=${!variable:-$(sed -n "s/^$variable=//p" .env)}
  images+=("$image")
  size=$(megabytes "$image")
  seconds=-
  if [ "$name" != orchestrator ]; then
    [ "$size" -lt 1000 ] || failed=1
    start=$(date +%s.%N)
    # Confined as by docker-compose.yml; checked every second rather than every ten, to be precise.
    container=$(docker run -d --read-only --tmpfs /tmp --cap-drop ALL --health-interval 1s "$image")
    until [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" = healthy ]; do
      if [ "$(date +%s)" -gt $((${start%.*} + 120)) ]; then
        failed=1
        break
      fi
      sleep 0.1
    done
    seconds=$(date +%s.%N | awk -v start="$start" '{printf "%.1f", $1 - start}')
    docker rm -f "$container" >/dev/null
    container=
  fi
  printf '%-36s %8s %16s\n' "$image" "$size" "$seconds"
done
printf '%-36s %8s\n' 'all, shared layers once' "$(together "${images[@]}")"
exit $failed
