"""A card as a process of its own sees it, for an engine whose process must not touch CUDA before it forks. Imports no
torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from merrflow_serving.machine import Memory

SECONDS = 120.0  # for importing torch on a busy machine
_CODE = """
import json, sys, torch
device = torch.device(sys.argv[1])
free, total = torch.cuda.mem_get_info(device)
from merrflow_serving.torch.device import card_of
print(json.dumps([card_of(device), free, total]))
"""


@dataclass(frozen=True)
class Seen:
    """A card at one moment."""

    card: str  # as `card_of`
    free: int  # bytes
    total: int

    def memory(self, before: int) -> Memory:
        """As `Memory` of an engine that began when `before` bytes were free."""
        return Memory(max(0, before - self.free), self.total, 0, self.free)


def look(device: str) -> Seen | None:
    """The card that torch calls `device`, such as "cuda" or "cuda:1"; None if there is none that can be used."""
    device = "cuda:0" if device in ("auto", "cuda") else device
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _CODE, device], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        return Seen(*json.loads(ended.stdout.strip().splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, IndexError):
        return None
