"""Versions of merrflow's distributions."""

from __future__ import annotations

import pytest

from merrflow.cli.doctor import versions
from tests.orchestrator.cli.doctor.situations import situation


def test_distributions_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = next(iter(versions.versions(situation())))
    assert ours.state == "ok" and not ours.todo
    monkeypatch.setattr(versions, "_version", lambda name: "0.0.9" if name == "merrflow-llama3" else "")
    found = next(iter(versions.versions(situation())))
    assert (found.state, found.found) == ("missing", f"{ours.found}, but merrflow-llama3 0.0.9")
    assert found.todo == f"install the wheels of {ours.found} (docs/installing.md): merrflow-llama3"
