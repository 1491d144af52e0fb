#!/usr/bin/env bash
# make_venv.sh PYTHON DIR: a virtual environment, and what Debian and Ubuntu may have left out that it needs: the part
# of Python that makes it, and GCC's OpenMP library, which the language model's runtime (xllamacpp) is linked against.
set -euo pipefail
python=$1 dir=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "merrflow needs Python 3.11 or newer; $python is $("$python" --version)" >&2
  exit 1
}

install_package() { # NAME WHY
  echo "installing the system package $1: $2"
  local root="" quiet="env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes" log
  [ "$(id -u)" = 0 ] || root=sudo
  log=$({ $root apt-get update -qq && $root $quiet apt-get install -y -qq --no-install-recommends "$1"; } 2>&1) || {
    echo "$log" | tail -n 3 >&2
    echo "that did not work; have '$1' installed (apt-get install $1), then run this again" >&2
    exit 1
  }
}

"$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null ||
  install_package libgomp1 "the language model's runtime needs it"
if ! "$python" -m venv "$dir" >/dev/null 2>&1; then
  rm -rf "$dir"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  install_package "python$version-venv" "$python needs it to make a virtual environment"
  "$python" -m venv "$dir"
fi
"$dir/bin/python" -m pip install -q --disable-pip-version-check --upgrade pip
