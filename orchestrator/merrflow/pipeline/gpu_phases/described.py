"""What a service reports without loading its model, read from `python -m merrflow_serving describe`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from merrflow.clients import Identity, identity, limits_of
from merrflow.core.errors import InputError
from merrflow.pipeline.gpu_phases.plan import Model
from merrflow_serving.engine import EngineInfo, Limits


@dataclass(frozen=True)
class Described:
    """One service as its container would run it."""

    service: str
    engine: EngineInfo
    least: int  # bytes of GPU memory with the smallest batch
    full: int  # with the largest
    card: int  # bytes of the GPU that it sees; 0 if it needs or sees none

    @classmethod
    def parse(cls, service: str, text: str, role: str = "") -> Described:
        """Reads the last line of the command's output. role: the service of the catalog, if it has another name here.
        Raises `InputError`."""
        try:
            content: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
            problem, gpu, need = content["problem"], content["gpu"] or {}, content["need"]
            engine = EngineInfo(**content["engine"], limits=Limits(**content["limits"]))
            found = cls(service, engine, need["least_bytes"], need["full_bytes"], gpu.get("total_bytes", 0))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"the container of {service} does not report what it needs ({type(error).__name__}: {error}); its "
                "image is older than this merrflow: build it again"
            ) from error
        if content["service"] != (role or service):
            raise InputError(f"the container of {service} runs the service {content['service']!r}")
        if problem:
            raise InputError(
                f"{service} cannot be planned for: {problem}. Start it alone until it is healthy (docker-compose up -d "
                f"{service}), so that it gets its weights or reports what is missing"
            )
        return found

    @property
    def identity(self) -> Identity:
        """What its answers depend on."""
        return identity(self.engine)

    @property
    def limits(self) -> Identity:
        """What it refuses as too large."""
        return limits_of(self.engine.limits)

    def model(self, replicas: int = 1, *, second: bool = False) -> Model:
        """What it needs of the GPU. second: whether it is a second engine."""
        return Model(self.service, self.least * replicas, self.full * replicas, second)
