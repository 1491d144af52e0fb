#!/usr/bin/env bash
# make_venv.sh PYTHON DIR: makes a virtual environment, and first installs what Debian and Ubuntu may have left out:
# Python's venv module, and GCC's OpenMP library, which the language model's runtime (xllamacpp) is linked against.
set -euo pipefail
python=$1 dir=$2
has() { "$python" -c "$1" 2>/dev/null; }

has 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "merrflow needs Python 3.11 or newer; $python is $("$python" --version 2>&1); try make PYTHON=python3.11" >&2
  exit 1
}
missing=()
has 'import ctypes; ctypes.CDLL("libgomp.so.1")' || missing+=(libgomp1)
has 'import ensurepip, venv' || missing+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing the system packages that are missing: ${missing[*]}"
  root=""
  [ "$(id -u)" = 0 ] || root=sudo
  install="env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends"
  log=$({ $root apt-get update -qq && $root $install "${missing[@]}"; } 2>&1) || {
    echo "$log" | tail -n 3 >&2
    echo "that did not work; have this run as root, then try again: apt-get install ${missing[*]}" >&2
    exit 1
  }
fi
"$python" -m venv "$dir"
"$dir/bin/python" -m pip install -q --disable-pip-version-check --upgrade pip
