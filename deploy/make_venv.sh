#!/usr/bin/env bash
# make_venv.sh PYTHON DIR: a virtual environment, also where Debian and Ubuntu left out the part of Python for it.
set -euo pipefail
python=$1 dir=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "merrflow needs Python 3.11 or newer; $python is $("$python" --version)" >&2
  exit 1
}
if ! "$python" -m venv "$dir" >/dev/null 2>&1; then
  rm -rf "$dir"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  package="python$version-venv"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  echo "installing $package, which $python needs to make a virtual environment"
  { $sudo apt-get update -qq && $sudo apt-get install -y -qq "$package"; } >/dev/null || {
    echo "could not; install the Debian package $package (or python3-venv) and run this again" >&2
    exit 1
  }
  "$python" -m venv "$dir"
fi
"$dir/bin/python" -m pip install -q --disable-pip-version-check --upgrade pip
