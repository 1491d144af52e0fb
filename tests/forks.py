"""`merrflow` as processes that need not import it again: forks of one that has.

Each is a process of its own, with its arguments, environment, output and exit code. To import what a command needs
costs a second of a core; a fork costs a tenth.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_PARENT = """
import importlib, json, os, resource, sys
import merrflow.cli.app
import merrflow.cli.progress  # with Prefect: what `merrflow run` imports
import merrflow.datasets.curation.curate
import merrflow.datasets.export.export
import merrflow.datasets.outputs
import merrflow.stages.graph
from merrflow.cli import main

for line in sys.stdin:
    arguments, variables, path, limit, output, errors = json.loads(line)
    child = os.fork()
    if not child:
        for name, value in variables.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(output, os.O_WRONLY), 1)
        os.dup2(os.open(errors, os.O_WRONLY), 2)
        if path:
            os.environ["PYTHONPATH"] = path
            sys.path.insert(1, path)
            importlib.invalidate_caches()
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.argv = ["merrflow", *arguments]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def merrflow(
    *arguments: object,
    path: Path | None = None,
    variables: Mapping[str, str | None] | None = None,
    largest_file: int = 0,
) -> subprocess.CompletedProcess[str]:
    """`merrflow ARGUMENTS`, until it ends. path: a folder on PYTHONPATH. variables: of the environment, besides those
    that this process had at the first call; None unsets one. largest_file: bytes that no file may exceed, as by
    `ulimit -f`; 0 is any."""
    parent = _parent()
    with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as errors:
        words, added = [*map(str, arguments)], dict(variables or {})
        order = [words, added, str(path or ""), largest_file, output.name, errors.name]
        print(json.dumps(order), file=parent.stdin, flush=True)
        code = int(parent.stdout.readline())
        told = Path(output.name).read_text("utf-8"), Path(errors.name).read_text("utf-8")
        return subprocess.CompletedProcess(words, code, *told)


@cache
def _parent() -> subprocess.Popen[str]:
    """It ends with this process, which has the other end of its input."""
    command = [sys.executable, "-c", _PARENT]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(parent.communicate)
    return parent
