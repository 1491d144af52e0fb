"""Whether a run recognises speech: it is the one service that a run can do without."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow.pipeline.embedded_engines import embedded_engines
from merrflow_serving import commands, weights
from merrflow_serving.__main__ import load_spec, read_settings
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.errors import MerrflowError

log = logging.getLogger(__name__)
SERVICE = "whisper"


def recognises_speech(settings: RunSettings, *, in_containers: bool = False) -> bool:
    """Whether the service is asked. in_containers: services are containers that the run starts.

    Raises `InputError` if the setting `asr` is "on" and there is no such service, or if the service's own settings are
    wrong: whoever sets them wants it.
    """
    if settings.asr == "off" or in_containers:
        return settings.asr == "on"
    if settings.whisper_address:
        return True
    problem = (
        f"asr is on, and {SERVICES[SERVICE].env_prefix}ADDRESS is not set, as those of the other services are"
        if any(map(settings.address, NEEDED))
        else _embedded_problem()
    )
    if problem and settings.asr == "on":
        raise InputError(problem)
    return not problem


def _embedded_problem() -> str:
    """Why the service cannot be started by this process; empty if it can."""
    if not find_spec(SERVICES[SERVICE].module):
        return f"asr is on, and its service is not installed; {commands.install_service(SERVICE)}"
    try:
        found = embedded_engines([SERVICE])[SERVICE]
        if found.device == "endpoint":  # its model is elsewhere, so no weights are needed
            return ""
        folder = weights.folder_of(found.model, read_settings(load_spec(SERVICE)))
    except MerrflowError as error:
        raise InputError(f"{error}; without speech recognition: MERRFLOW_ASR=off") from error
    if found.revision:
        return ""
    pull = commands.models("pull", found.model)
    if folder.is_dir() and any(folder.iterdir()):
        log.warning("%s is not whole, so speech is not recognised; run: %s", folder, pull)
    return f"asr is on, and its weights are not there; run: {pull}"
