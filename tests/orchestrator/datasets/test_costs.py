"""What endpoints took: summed over the ledger, each answer once, and priced by a file of the user's."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.core.texts import Origin, Scene
from merrflow.core.usage import Usage
from merrflow.datasets.costs import read_prices, spent
from merrflow.pipeline.stage_cache import Codecs
from merrflow.stages import scene
from merrflow.stages.graph import GRAPH
from merrflow.stages.stage import Reply
from merrflow.store import Ledger, StageRow

PRICES = """
currency: EUR
models:
  small-*: {input: 1.0, output: 2.0}
  other.example/*: {call: 0.5}
"""


def origin(usage: Usage | None) -> Origin:
    return Origin("openai", "small", "", "1", "", 0.0, 0.1, usage)


def usage(model: str = "small-2", endpoint: str = "models.example", **numbers) -> Usage:
    return Usage(endpoint, model, **{"input_tokens": 1000, "output_tokens": 50, "seconds": 2.0, "calls": 1} | numbers)


def keep(ledger: Ledger, name: str, key: str, used: Usage | None, outcome: Outcome = Outcome.DONE) -> None:
    payload, _ = Codecs(GRAPH).pack(scene.STAGE, Reply(Scene("A man.", {}, ()), origin(used)))
    ledger.save_stage(name, "scene", key, StageRow(outcome, "", payload, 0.1))


@pytest.fixture
def ledger(tmp_path):
    """Three clips, the first two of the same bytes."""
    found = Ledger.in_folder(tmp_path, "")
    paths = {tmp_path / f"{name}.mp4": name for name in ("one", "same", "two")}
    for path, name in paths.items():
        path.write_bytes(b"other" if name == "two" else b"video")
    found.register([Found(path) for path in paths], paths)
    yield found
    found.close()


def test_every_answer_counts_once(ledger, tmp_path):
    keep(ledger, "one", "k", usage())
    keep(ledger, "same", "k", usage())  # the same answer, copied for another clip of the same bytes
    keep(ledger, "one", "older prompt", usage(), Outcome.REFUSED)  # paid for as well
    keep(ledger, "two", "k2", usage(output_tokens=150, seconds=4.0, calls=3))
    keep(ledger, "two", "k3", usage("big", "other.example", output_tokens=1))
    keep(ledger, "two", "k4", None)  # an engine of the service's own
    (tmp_path / "prices.yaml").write_text(PRICES)
    first, second = spent(ledger, read_prices(tmp_path / "prices.yaml"))
    assert (first.endpoint, first.model, first.answers, first.calls) == ("models.example", "small-2", 3, 5)
    assert (first.input_tokens, first.output_tokens, first.tokens_per_second) == (3000, 250, 250 / 8)
    assert first.cost == pytest.approx(0.003 + 0.0005) and first.currency == "EUR"
    assert (second.model, second.cost) == ("big", 0.5)
    assert {one.cost for one in spent(ledger)} == {None}, "without a file no price is known"


def test_status_shows_them(ledger, tmp_path):
    keep(ledger, "one", "k", usage())
    ledger.close()
    (tmp_path / "prices.yaml").write_text(PRICES)
    words = ["status", "-o", str(tmp_path), "--json", "--prices", str(tmp_path / "prices.yaml")]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    (row,) = json.loads(done.output)["endpoints"]
    assert row["endpoint"] == "models.example" and row["output_tokens"] == 50 and row["tokens_per_second"] == 25.0
    assert row["cost"] == pytest.approx(0.0011)
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, words[:3], catch_exceptions=False)
    assert "models.example" in shown.output and "no price" in shown.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models: {x: {input: -1}}", "greater than or equal to 0"),
        ("models: {x: {inputs: 1}}", "inputs"),
        ("models: [x]", "models"),
    ],
)
def test_a_wrong_price_is_named(tmp_path, text, problem):
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"prices.yaml.*{problem}"):
        read_prices(tmp_path / "prices.yaml")
