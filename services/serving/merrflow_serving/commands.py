"""The commands that messages name, as they are given where this runs: the only place that knows of containers.

The images set `MERRFLOW_MODELS_COMMAND` to Compose's command, and the Kubernetes manifests to kubectl's.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

MODELS = "merrflow models"
_TORCH_IMAGES = ("minigpt-v2", "qwen-audio", "llama3")  # of deploy/compose/gpu.yml


def models(*words: str) -> str:
    """`merrflow models` with these words behind it."""
    return " ".join((_models(), *words))


def add(*files: str) -> list[str]:
    """The commands that hand in files of the folder in which they are given; none where they can be put in place."""
    command = _models()
    if command == MODELS:
        return []
    if not _in_cluster():
        return [models("add", *files)]
    # A pod sees no folder of this machine, so each file comes as standard input.
    with_input = command.replace(" exec ", " exec -i ", 1)
    return [f"{with_input} add --stdin {file} < {file}" for file in files]


def install_service(service: str) -> str:
    """What to do for a service's own distribution, which is on no package index."""
    return f"install the wheel of merrflow-{service} (docs/installing.md)"


def install(service: str, extra: str = "torch") -> str:
    """What to do for the packages of an extra of the service's distribution, which is there: install them, or in a
    container another image, in a phrase that goes on after a colon."""
    if not in_container():
        return f"pip install 'merrflow-{service}[{extra}]'"
    if extra == "torch" and service in _TORCH_IMAGES:
        return f"EXTRAS=torch deploy/build-images.sh {service}"
    return f"build its image with EXTRAS={extra} (services/Dockerfile)"


def other_folder(what: str = "another folder") -> str:
    """How weights are kept in another place."""
    if not in_container():
        return f"set MERRFLOW_MODELS_DIR to {what}"
    return f"give the claim `models` {what}" if _in_cluster() else f"set MODELS to {what}"


def other_owner(folder: Path, user: int) -> str:
    """How the folder of weights, which another user owns, becomes writable for `user`."""
    if not in_container():
        return f"run as root: chown -R {user} {folder}"
    if _in_cluster():
        return f"make the claim `models` writable for user {user}"
    owner = folder.stat()
    # A folder that was not there was made by Docker, as root: no reason to run everything as root.
    return f"run as root: chown -R {user} MODELS, or start the containers with OUT_USER={owner.st_uid}:{owner.st_gid}"


def readable(folder: Path) -> str:
    """How files of weights that are there become readable."""
    if not in_container():
        return f"run as root: chmod -R a+rX {shlex.quote(str(folder))}"
    if _in_cluster():
        return f"make {folder.name} in the claim `models` readable for user {os.geteuid()}"
    return f"run as root: chmod -R a+rX MODELS/{folder.name}"


def in_container() -> bool:
    """Whether this runs in one of the project's images."""
    return _models() != MODELS


def _in_cluster() -> bool:
    return _models().startswith("kubectl")


def _models() -> str:
    return os.environ.get("MERRFLOW_MODELS_COMMAND") or MODELS
