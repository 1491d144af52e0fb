#!/usr/bin/env bash
# install.sh PACKAGE...: installs Debian packages, without starting their services.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
missing=()
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}" >&2
policy=/usr/sbin/policy-rc.d log=$(mktemp)
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f "$policy"' EXIT
fi
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
  tail -n 8 "$log" >&2
  exit 1
}
