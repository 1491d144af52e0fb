#!/usr/bin/env bash
# Writes the Python stubs under protos/python from the .proto files. CI runs it and fails on a difference.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf python/merrflow
mkdir -p python
find merrflow -name '*.proto' | LC_ALL=C sort | xargs "${PYTHON:-python}" -m grpc_tools.protoc -I . \
  --python_out=python --pyi_out=python --grpc_python_out=python
# merrflow/ itself belongs to the orchestrator, so what says that there are types is in each package of stubs.
find python/merrflow -mindepth 2 -type d ! -name __pycache__ -exec touch {}/py.typed \;
