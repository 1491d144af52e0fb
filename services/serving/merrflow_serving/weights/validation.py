"""Whether a service could do anything with weights, asked before gigabytes of them are pulled or read."""

from __future__ import annotations

import importlib.util

from merrflow_serving import commands
from merrflow_serving.errors import NotReady
from merrflow_serving.weights.entries import Entry
from merrflow_serving.weights.places import WeightSettings

PACKAGES = ("torch", "transformers")  # of every engine but those below
OWN_PACKAGES = {"vllm": ("vllm",), "faster_whisper": ("faster_whisper",)}


def validate(entry: Entry, settings: WeightSettings) -> None:
    """Raises `NotReady` if the engine's packages are not installed, or the device that is set is not there.

    Only for the settings of a service: the command line pulls weights for other machines too.
    """
    from merrflow_serving.torch.settings import TorchSettings  # which is made of this package's `places`

    if not isinstance(settings, TorchSettings):
        return
    missing = [name for name in OWN_PACKAGES.get(settings.engine, PACKAGES) if not _installed(name)]
    if missing:
        raise NotReady(
            f"the engine {settings.engine} needs {' and '.join(missing)}, not installed here: "
            f"{_how_to_install(settings.engine, entry.service or 'llama3')}",
            reason="LIBRARY_MISSING",
        )
    # Engines with packages of their own look for themselves: without torch, or, as vLLM does, in a process that they
    # fork, before which CUDA must not have been touched in this one.
    if settings.device != "cpu" and settings.engine not in OWN_PACKAGES:
        from merrflow_serving.torch.device import device_of

        device_of(settings)


def _how_to_install(engine: str, service: str) -> str:
    if engine == "vllm":  # it pins its own torch
        return "`EXTRAS=vllm deploy/build-images.sh llama3`"
    if engine == "faster_whisper":
        return commands.install("whisper", "embedded")
    return f"{commands.install(service)}{'' if commands.in_container() else ', or an image built with EXTRAS=torch'}"


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module that is being kept out
        return False
