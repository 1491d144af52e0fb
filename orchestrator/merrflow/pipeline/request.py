"""What a run is asked to do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from merrflow.core.arguments import as_path
from merrflow.core.settings import RunSettings
from merrflow.core.settings_file import load_settings
from merrflow.pipeline.speech_recognition import SERVICE, recognises_speech
from merrflow.stages import action_units
from merrflow.stages.graph import GRAPH


@dataclass(frozen=True)
class Request:
    """What a run is asked to do. Plain values, so that it can be a Prefect parameter."""

    inputs: tuple[str, ...]
    out: str
    transcripts: str | None = None
    config: str | None = None
    labels: str | None = None
    action_units: str | None = None  # OpenFace CSVs or MERR's JSON, instead of the service
    overrides: dict[str, Any] = field(default_factory=dict)
    gpu_sharing: Literal["", "sequential"] = ""  # sequential: phase by phase, with the containers each needs
    gpu_memory: int = 0  # bytes of that GPU; 0 to ask the containers

    def __post_init__(self) -> None:
        """Raises `InputError` for paths that no file can have, such as an empty one in Prefect's form."""
        others = {name: getattr(self, name) for name in ("transcripts", "config", "labels", "action_units")}
        for name, path in (*(("inputs", one) for one in self.inputs), ("out", self.out), *others.items()):
            if path is not None:
                as_path(name, path)

    @property
    def folder(self) -> Path:
        """The output folder as an absolute path. Symbolic links are not resolved."""
        return Path(os.path.abspath(os.path.expanduser(self.out)))

    def settings(self) -> RunSettings:
        """The settings of the file, the environment and the overrides. Raises `InputError`."""
        return load_settings(Path(self.config) if self.config else None, **self.overrides)

    def needed(self) -> list[str]:
        """The services that it needs. Raises `InputError` for a needed one that cannot be had."""
        graph = GRAPH.with_stages(action_units.FROM_CSV) if self.action_units else GRAPH
        speech = recognises_speech(self.settings(), in_containers=bool(self.gpu_sharing))
        return [*graph.services, *([SERVICE] if speech else [])]
