"""The benchmark of the review page, at a small size."""

from __future__ import annotations

import json

import pytest

from benchmarks.review import QUERIES, main


def test_it_times_every_kind_of_list(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--records", "30"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["records"] == 30
    assert QUERIES.keys() <= found.keys()
    assert all(found[name]["most"] > 0 for name in QUERIES)
