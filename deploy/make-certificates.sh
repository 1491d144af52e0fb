#!/bin/sh
# make-certificates.sh FOLDER [NAME...]: certificates and a token for the services and their clients.
# Makes FOLDER/authority.key, the signing key, which no service gets, and for each NAME (by default all services and
# `worker`) a folder with cert.pem, key.pem, ca.pem and tokens. NAME@HOST,HOST adds names or addresses by which others
# reach it. Existing files are kept, so the same command renews what was removed. Needs openssl 1.1.1 or newer.
set -eu
folder=${1:?usage: make-certificates.sh FOLDER [NAME...]}
shift
# >>> services: make generated
[ $# -gt 0 ] || set -- openface-au minigpt-v2 qwen-audio llama3 whisper worker
# <<< services
days=${DAYS:-365}
# Containers read the files as other users; on this machine, only the owner can enter the folder above them.
umask 022
mkdir -p "$folder"
chmod 700 "$folder"

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null ||
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }

if [ ! -f "$folder/authority.key" ]; then
  new_key >"$folder/authority.key"
  chmod 600 "$folder/authority.key"
  openssl req -x509 -new -key "$folder/authority.key" -days 3650 -subj "/CN=merrflow authority" -out "$folder/ca.pem"
fi
[ -f "$folder/tokens" ] || openssl rand -hex 32 >"$folder/tokens"

for item; do
  name=${item%%@*}
  target=$folder/$name
  mkdir -p "$target"
  cp "$folder/ca.pem" "$folder/tokens" "$target/"
  [ -f "$target/cert.pem" ] && continue
  names="DNS:$name,DNS:localhost,IP:127.0.0.1"
  case $item in
  *@*)
    for host in $(printf %s "${item#*@}" | tr , ' '); do
      case $host in
      *[!0-9.:]*) names="$names,DNS:$host" ;;
      *) names="$names,IP:$host" ;;
      esac
    done
    ;;
  esac
  new_key >"$target/key.pem"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" >"$target/extensions"
  openssl req -new -key "$target/key.pem" -subj "/CN=$name" -out "$target/request"
  openssl x509 -req -in "$target/request" -CA "$folder/ca.pem" -CAkey "$folder/authority.key" -CAcreateserial \
    -days "$days" -extfile "$target/extensions" -out "$target/cert.pem" 2>/dev/null
  rm "$target/request" "$target/extensions"
  echo "$target: $names, $days days"
done
