"""What is installed is what is pinned: the check finds what is not."""

from __future__ import annotations

import importlib
from email.message import Message
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.version import Version

from tests.deploy.stack import ROOT


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "deploy")
    return importlib.import_module("check_pins")


def package(version: str = "1.0", requires: tuple[str, ...] = (), **metadata: str) -> Any:
    message = Message()
    for key, value in ({"License_Expression": "MIT"} | metadata).items():
        message[key.replace("_", "-")] = value
    return SimpleNamespace(version=version, requires=requires, metadata=message)


def test_what_is_as_pinned_has_no_fault(check: ModuleType) -> None:
    installed = {"a": package("1.0+cpu", ("b>=1",)), "b": package("2.0"), "merrflow": package("0.1"), "pip": package()}
    assert list(check.faults({"a": Version("1.0"), "b": Version("2.0")}, installed, {"a"})) == []


@pytest.mark.parametrize(
    ("pinned", "installed", "words"),
    [
        ({}, {"a": package()}, "a 1.0 is installed and not pinned"),
        ({"a": "1.1"}, {"a": package()}, "a 1.0 is installed and 1.1 pinned"),
        ({"old": "1.0"}, {}, "old is pinned, not installed, and nothing asks for it"),
        ({"old": "1.0"}, {"old": package()}, "nothing asks for it any more"),
        ({"a": "1.0"}, {"a": package(License_Expression="GPL-3.0-only")}, "nobody looked at: GPL-3.0-only"),
        ({"a": "1.0"}, {"a": package(License_Expression="MIT AND (AGPL-3.0-only OR BSD-3-Clause)")}, "AGPL-3.0-only"),
        ({"a": "1.0"}, {"a": package(License_Expression="")}, "none is given"),
    ],
)
def test_what_differs_is_named(check: ModuleType, pinned: Any, installed: Any, words: str) -> None:
    (fault,) = check.faults({name: Version(version) for name, version in pinned.items()}, installed, {"a"})
    assert words in fault


@pytest.mark.parametrize("line", ["a>=1", "a", "a==1.*", "a==1,!=2"])
def test_a_line_that_pins_nothing_is_refused(check: ModuleType, line: str) -> None:
    with pytest.raises(ValueError):
        check.pins(line)


def test_a_file_with_hashes_has_them_in_every_line(check: ModuleType, tmp_path: Any) -> None:
    assert list(check.unhashed(ROOT)) == []
    (tmp_path / "examples/x").mkdir(parents=True)
    (tmp_path / "examples/x/requirements.txt").write_text("# why\na==1 --hash=sha256:00\nb==1\n")
    assert list(check.unhashed(tmp_path)) == ["examples/x/requirements.txt: b==1: has no hash"]


ABSENT = '{"dependencies": [{"name": "a", "skip_reason": "Dependency not found on PyPI"}]}'
KNOWN = '{"dependencies": [{"name": "a", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}]}'


@pytest.mark.parametrize(
    ("told", "found", "printed"),
    [
        (ABSENT, [], "pip-audit was skipped"),  # as it is without a network, with exit code 0
        ("", [], "pip-audit was skipped"),
        (KNOWN, ["a 1.0: PYSEC-1"], "pip-audit looked up 1 pins"),
    ],
)
def test_an_audit_that_saw_nothing_is_no_clean_one(
    check: ModuleType,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: str,
    found: list[str],
    printed: str,
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<END\n{told}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert check.audit() == found
    assert capsys.readouterr().out.startswith(printed)
