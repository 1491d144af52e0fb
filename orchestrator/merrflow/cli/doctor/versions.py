"""Versions of what runs here."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from merrflow.cli.doctor.finding import Finding, Situation, unless
from merrflow_serving.catalog import SERVICES

_SHOWN = ("prefect", "grpcio", "transformers", "vllm")


def versions(_: Situation) -> Iterator[Finding]:
    """merrflow's distributions are of one version; the rest is for a bug report."""
    own = version("merrflow")
    names = ("merrflow-serving", "merrflow-protos", *(f"merrflow-{name}" for name in SERVICES))
    others = {name: found for name in names if (found := _version(name)) not in ("", own)}
    words = ", ".join(f"{name} {found}" for name, found in others.items())
    yield unless(
        not others,
        "merrflow",
        f"{own}{f', but {words}' if others else ''}",
        f"install the wheels of {own} (docs/installing.md): {', '.join(others)}",
    )
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if platform.system() == "Linux" else ""
    parts = [
        f"Python {platform.python_version()}",
        *(f"{name} {found}" for name in _SHOWN if (found := _version(name))),
    ]
    yield Finding("versions", "ok", ", ".join([*parts, system or platform.platform()]))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
