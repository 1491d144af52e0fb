#!/usr/bin/env bash
# How does a voice sound? Asks the service qwen-audio: ./tone.sh FILE [HOST:PORT]
# FILE is a sound or a video. Needs grpcurl alone: the service describes itself by reflection.
# For a service with TLS or a token: MERRFLOW_TLS_CA, and for mTLS MERRFLOW_TLS_CERT and MERRFLOW_TLS_KEY, are PEM files;
# MERRFLOW_TOKEN is the token. grpcurl reads it from the environment, so that no list of processes shows it.
set -euo pipefail
file=$1
address=${2:-127.0.0.1:50053}
security=(-plaintext) # without TLS a token would be readable on its way
if [ -n "${MERRFLOW_TLS_CA:-}" ]; then
  security=(-cacert "$MERRFLOW_TLS_CA")
  if [ -n "${MERRFLOW_TLS_CERT:-}" ]; then security+=(-cert "$MERRFLOW_TLS_CERT" -key "$MERRFLOW_TLS_KEY"); fi
  # shellcheck disable=SC2016
  if [ -n "${MERRFLOW_TOKEN:-}" ]; then security+=(-expand-headers -H 'authorization: Bearer ${MERRFLOW_TOKEN}'); fi
fi
ask() { "${GRPCURL:-grpcurl}" "${security[@]}" -max-time 300 "$@"; }

# Ready? `Info` answers while the model still loads.
for _ in {1..600}; do
  info=$(ask -connect-timeout 5 "$address" merrflow.common.v1.Engine/Info) || info=
  if grep -q '"ready": true' <<<"$info"; then break; fi
  if grep '"problem"' <<<"$info" >&2; then exit 1; fi # the text says what to do
  grep '"doing"' <<<"$info" >&2 || true
  sleep 1
done
limit=$(sed -n 's/.*"maxMessageBytes": "\([0-9]*\)".*/\1/p' <<<"$info")

# Bytes are base64 in JSON. Above the limit of one message: the request first, then the file in chunks.
describe() {
  if [ "$(stat -c %s "$file")" -lt $((limit - 1024)) ]; then
    printf '{"audio": {"data": "%s"}}' "$(base64 -w0 "$file")" |
      ask -d @ "$address" merrflow.qwen_audio.v1.ToneDescriber/Describe
  else
    { echo '{"request": {}}' && split -b 512K --filter='printf "{\"chunk\": \"%s\"}\n" "$(base64 -w0)"' "$file"; } |
      ask -d @ "$address" merrflow.qwen_audio.v1.ToneDescriber/DescribeStream
  fi
}

# Again where the service is full, restarts or is slow; other errors are final. Exit codes are 64 + the gRPC status.
for pause in 1 2 4 8 0; do
  describe && exit 0 || code=$?
  case $code in
    68 | 72 | 78) [ "$pause" = 0 ] || sleep "$pause" ;; # DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE
    *) exit "$code" ;;
  esac
done
exit "$code"
