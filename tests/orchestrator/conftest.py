"""A PostgreSQL server for the tests, where its programs are installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import NoPostgres, postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of an empty database; skips where PostgreSQL is not installed."""
    try:
        with postgres() as url:
            yield url
    except NoPostgres as error:
        pytest.skip(str(error))


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The setting `ledger_url`: each kind of database once."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
