"""The fakes start each test without calls and without trouble."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.orchestrator.fakes import calls, trouble


@pytest.fixture(autouse=True)
def _no_trouble() -> Iterator[None]:
    calls.clear()
    trouble.clear()
    yield
    trouble.clear()
