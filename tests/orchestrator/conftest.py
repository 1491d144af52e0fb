"""The databases that a ledger may be in."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The setting `ledger_url`: each kind of database once."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
