"""Second engines of a role, as the setting `witness` names them: "qwen-audio=qwen2_audio,openai whisper=host:50055"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from merrflow.core.errors import listed
from merrflow_serving.catalog import SERVICES


@dataclass(frozen=True)
class SecondEngine:
    """One engine that answers beside the main engine of its role."""

    role: str  # a service of the catalog
    what: str  # the name of an engine, or host:port of a service that runs it

    @property
    def name(self) -> str:
        """What records, logs and messages call it."""
        return f"{self.role}.{self.what}"

    @property
    def address(self) -> str:
        """Where it is; "" if this process starts it, or a Compose project has it."""
        return self.what if ":" in self.what else ""


def second_engines(text: str) -> tuple[SecondEngine, ...]:
    """Those that a setting names: ROLE=WHAT[,WHAT...], several roles with blanks or ";" between them. A WHAT with a
    colon is an address. Raises `ValueError` with what is wrong."""
    found: list[SecondEngine] = []
    for part in filter(None, re.split(r"[\s;]+", text)):
        role, separator, whats = part.partition("=")
        if not separator or not all(whats.split(",")):
            raise ValueError(f"{listed([part])} is not ROLE=ENGINE or ROLE=HOST:PORT, such as qwen-audio=openai")
        if role not in SERVICES:
            raise ValueError(f"{listed([role])} is no role that a witness can have; they are: {', '.join(SERVICES)}")
        for one in (SecondEngine(role, what) for what in whats.split(",")):
            if one in found:
                raise ValueError(f"{listed([f'{role}={one.what}'])} is named twice")
            found.append(one)
    return tuple(found)
