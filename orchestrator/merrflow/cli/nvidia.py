"""What NVIDIA's driver says of this machine's cards, by the command that comes with it: `nvidia-smi`."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

_FIELDS = ("index", "uuid", "name", "driver_version", "compute_cap", "memory.total", "memory.free")
_SECONDS = 15.0


@dataclass(frozen=True)
class Card:
    """One card. Bytes are 0 if the driver does not say."""

    index: int  # as nvidia-smi counts
    uuid: str
    name: str
    driver: str  # version, such as "580.65.06"
    capability: tuple[int, int]  # (0, 0) if the driver does not say
    total: int
    free: int


@dataclass(frozen=True)
class Driver:
    """The cards that this process may use, in their order; or why there are none."""

    cards: tuple[Card, ...] = ()
    problem: str = ""


def read_driver() -> Driver:
    """Asks nvidia-smi. Cards that CUDA_VISIBLE_DEVICES leaves out are left out here."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except FileNotFoundError:
        return Driver(problem="there is no command nvidia-smi, so NVIDIA's driver is not installed or not visible here")
    except subprocess.TimeoutExpired:
        return Driver(problem=f"nvidia-smi does not end within {_SECONDS:.0f} s")
    except OSError as error:
        return Driver(problem=f"nvidia-smi cannot be run ({error.strerror or error})")
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())
        return Driver(problem=f"nvidia-smi fails: {said[:300] or f'exit code {done.returncode}'}")
    try:
        cards = tuple(_card(line) for line in done.stdout.splitlines() if line.strip())
    except ValueError:
        return Driver(problem=f"nvidia-smi says what cannot be read: {' '.join(done.stdout.split())[:300]}")
    if not cards:
        return Driver(problem="NVIDIA's driver sees no card")
    visible = _visible(cards)
    return Driver(visible) if visible else Driver(problem="CUDA_VISIBLE_DEVICES leaves no card")


def _card(line: str) -> Card:
    index, uuid, name, driver, capability, total, free = (part.strip() for part in line.split(","))
    return Card(int(index), uuid, name, driver, _capability(capability), _mebibytes(total), _mebibytes(free))


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _mebibytes(text: str) -> int:
    """A card that shares the machine's memory says "[N/A]"."""
    return int(text) << 20 if text.isdigit() else 0


def _visible(cards: tuple[Card, ...]) -> tuple[Card, ...]:
    """As CUDA does: in the order of the variable, up to the first word that names no card."""
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return cards
    found = []
    for word in (part.strip() for part in asked.split(",")):
        named = [one for one in cards if word and (str(one.index) == word or one.uuid.startswith(word))]
        if len(named) != 1:
            break
        found += named
    return tuple(found)
