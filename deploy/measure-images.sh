#!/usr/bin/env bash
# measure-images.sh: the size of each image, and how long its service takes from `docker run` to healthy with the embedded
# engine, one after the other. Ends with 1 if a service is not healthy after two minutes, or its image is not below 1 GB.
set -euo pipefail
cd "$(dirname "$0")/.."
# >>> services: make generated
services=(openface-au minigpt-v2 qwen-audio llama3)
# <<< services
container=
trap '[ -z "$container" ] || docker rm -f "$container" >/dev/null' EXIT
failed=0
printf '%-36s %8s %16s\n' image MB 'healthy after s'
for name in "${services[@]}" orchestrator; do
  variable=${name//-/_}
  variable=${variable^^}_IMAGE
  image=${!variable:-$(sed -n "s/^$variable=//p" .env)}
  megabytes=$(docker image inspect -f '{{.Size}}' "$image" | awk '{printf "%d", $1 / 1e6}')
  seconds=-
  if [ "$name" != orchestrator ]; then
    [ "$megabytes" -lt 1000 ] || failed=1
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
  printf '%-36s %8s %16s\n' "$image" "$megabytes" "$seconds"
done
exit $failed
