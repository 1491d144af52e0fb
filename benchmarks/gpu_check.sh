#!/usr/bin/env bash
# gpu_check.sh [--rehearse] [--out FOLDER] [--minutes N]: all that is to be known of merrflow on one CUDA card, within nine
# minutes: benchmarks/gpu_check.yaml has the steps. --rehearse does the same on a CPU with tiny shapes. What each step
# writes, gpu_check.json and the table gpu_check.md are in FOLDER (default out/gpu-check); the last line is one JSON object.
#
# Needs Python 3.11 or newer with torch and transformers. With the project's .venv all steps run; without it (PYTHON names
# another interpreter), steps whose packages are not there are left out and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
[ -x "$PYTHON" ] || PYTHON=python3
folders=protos/python
for folder in services/*/; do folders=$folders:${folder%/}; done
export PYTHONUNBUFFERED=1 PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$folders:orchestrator
exec "$PYTHON" -m benchmarks.gpu_check "$@"
