#!/usr/bin/env bash
# mirror.sh: the Debian mirror that this machine's apt uses; DEBIAN_MIRROR names another.
set -euo pipefail
mirrors() { apt-get indextargets --format '$(REPO_URI)' 'Component: main'; }
[ -n "${DEBIAN_MIRROR:-}" ] || [ -n "$(mirrors)" ] || apt-get update -qq
echo "${DEBIAN_MIRROR:-$(mirrors | sed -n 1p)}"
