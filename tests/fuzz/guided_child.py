"""The process in which atheris runs one target; the parent (guided.py) starts it and reads what it says.

Arguments: target, folder of media, folder for finds, then libFuzzer's own. Writes "find FILE what was wrong" for each
kind of find once, and goes on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import sys
from pathlib import Path
from random import Random

import atheris

OURS = ["merrflow", "merrflow_serving", "merrflow_llama3", "merrflow_minigpt_v2", "merrflow_openface_au"]
THEIRS = ["merrflow_qwen_audio", "yaml", "pysubs2"]
NOT = ["yaml.scanner", "yaml.reader"]  # letter by letter: a case would take seconds
with atheris.instrument_imports(include=[*OURS, *THEIRS], exclude=NOT):
    import av.logging

    from tests.fuzz import child, guided_targets
MOST_FINDS = 50


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, media, out, *options = sys.argv[1:]
    av.logging.set_level(None)
    logging.disable()
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    target = guided_targets.build(name, Path(media))
    known: set[str] = set()

    def case(data: bytes) -> None:
        try:
            target.run(data)
        except Exception as error:
            what = child.told(error)
            kind = what[:60].split(": /")[0]  # the kind of error and its place, without a file's name
            if kind in known or len(known) >= MOST_FINDS:
                return
            known.add(kind)
            path = Path(out, f"{name.replace('/', '-')}-{hashlib.sha256(data).hexdigest()[:8]}")
            path.write_bytes(data)
            print(f"find {path} {what}", file=say)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        return atheris.Mutate(data, most) if random.random() < 0.6 else target.change(data, random)[:most]

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    atheris.Setup([sys.argv[0], *options], case, custom_mutator=mutated)
    bound = child.address_space() + (child.MEMORY_MIB << 20)  # what one case may take
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
