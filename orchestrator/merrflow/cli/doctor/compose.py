"""Compose: its command, what builds the images, and what the variables of its files say in this folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dotenv import dotenv_values

from merrflow.cli.doctor.finding import Finding, Situation, unless
from merrflow.cli.doctor.places import bytes_to_come, room_for
from merrflow.core.paths import expanded
from merrflow.core.writable import existing
from merrflow_serving.weights.places import Place

_DIALECTS = (("docker-compose",), ("docker", "compose"))
_NEEDS_BUILDX = 23  # from this version on, Docker's command builds with BuildKit by a plug-in alone


def setting(name: str) -> str:
    """A variable of docker-compose.yml: of the shell, else of the file .env in this folder; "" if neither has it."""
    return os.environ.get(name) or dotenv_values(".env", interpolate=False).get(name) or ""


def tools(situation: Situation) -> Iterator[Finding]:
    """Whether Compose is there, by which name, and whether images can be built."""
    if not situation.containers:
        return
    names = [" ".join(words) for words in _DIALECTS if _said(*words, "version")]
    yield unless(
        bool(names),
        "Compose",
        " and ".join(names) or "neither of both",
        "install docker-compose 1.29 or newer, or Compose 2",
    )
    if names == ["docker compose"]:
        yield Finding("Compose", "note", "there is no docker-compose", "where docs and messages say so: docker compose")
    version = re.search(r"\d+", _said("docker", "--version"))
    if version:
        has = int(version[0]) < _NEEDS_BUILDX or bool(_said("docker", "buildx", "version"))
        todo = "install its plug-in: apt-get install docker-buildx, from Docker's own packages docker-buildx-plugin"
        yield unless(
            has, "BuildKit", "there" if has else f"Docker {version[0]} builds images by buildx, not there", todo
        )


def weights_folder(situation: Situation) -> Iterator[Finding]:
    """Whether the folder MODELS has room, and the containers' user may write to it. A volume belongs to Docker."""
    name, here = setting("MODELS"), [one for one in situation.engines if one.is_here and one.weights]
    if not situation.containers or "/" not in name or not here:
        return
    folder, user = expanded(name).absolute(), setting("OUT_USER")
    size = sum(bytes_to_come(one, Place(models_dir=folder)) for one in here)
    yield room_for(size, folder, shutil.disk_usage(existing(folder)).free, "MODELS")
    if not folder.is_dir():
        todo = f"make it first, as the user that OUT_USER names: mkdir -p {folder}"
        yield Finding("folder MODELS", "missing", f"{folder} is not there; Docker would make it, for root alone", todo)
        return
    found, may = folder.stat(), _may_write(folder, user)
    words = f"belongs to {found.st_uid}:{found.st_gid}, and containers run as" if not may else "can be written to by"
    todo = f"run as root: chown -R {user} {folder}, or set OUT_USER to its owner"
    yield unless(may, "folder MODELS", f"{folder} {words} {user or 'root'}", todo)


def _may_write(folder: Path, user: str) -> bool:
    """By owner, group and mode. True for root, and for names, which only an image knows."""
    found = folder.stat()
    owner, _, group = user.partition(":")
    if not owner.isdigit() or int(owner) == 0:
        return True
    if int(owner) == found.st_uid:
        return bool(found.st_mode & 0o200)
    return bool(found.st_mode & (0o020 if group == str(found.st_gid) else 0o002))


def _said(*command: str) -> str:
    """What a command prints; "" if it is not there or does not work."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout.strip()
