"""The cost model: sums by hand, where the bottleneck moves, and figures that say where they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmarks import cost
from benchmarks.cost import Cost, plan

FIGURES = cost.load_figures()


def test_a_stage_by_hand() -> None:
    hours = {row.stage: row.hours for row in cost.costs(FIGURES)}
    frame = FIGURES["stages"]["action_units"]["seconds"]
    assert hours["action_units"] == pytest.approx(70_000 * 94 * frame / 3600)
    card = (1 / 437 + 330 / 61_000 + 60 / 11_100) / 0.5
    assert hours["minigpt-v2"] == pytest.approx(28_618 * card / 3600)


def test_the_bottleneck_is_the_slowest_and_moves() -> None:
    rows = [Cost("action_units", "cpu", 40.0, ""), Cost("ocr", "cpu", 8.0, ""), Cost("llama3", "gpu", 10.0, "")]
    one = plan(rows, gpus=1, cores=16, replicas=1)
    assert (one.bottleneck, one.wall_hours) == ("openface-au", 40.0)
    more = plan(rows, gpus=1, cores=16, replicas=16)
    assert (more.bottleneck, more.wall_hours) == ("cards", 10.0)
    eight = plan(rows, gpus=8, cores=16, replicas=16)
    assert (eight.bottleneck, eight.wall_hours) == ("processor", 3.0)


def test_a_larger_dataset_costs_as_many_times_more() -> None:
    larger = cost.resized(FIGURES, 700_000)
    assert [larger["dataset"][name]["value"] for name in cost.COUNTS] == [700_000, 286_180, 44_870]
    for one, ten in zip(cost.costs(FIGURES), cost.costs(larger), strict=True):
        assert ten.hours == pytest.approx(10 * one.hours)
    assert FIGURES["dataset"]["clips"]["value"] == 70_000


def test_replicas_beyond_the_cores_gain_nothing() -> None:
    rows = [Cost("action_units", "cpu", 40.0, "")]
    assert plan(rows, 1, 4, 4).hours == plan(rows, 1, 4, 64).hours


def test_a_prediction_grows_with_the_clips(tmp_path: Path) -> None:
    from benchmarks.support.made_up_dataset import make_clips

    make_clips(tmp_path, 3)
    clips = sorted(tmp_path.glob("*.mp4"))
    one, three = cost.predicted(FIGURES, clips[:1]), cost.predicted(FIGURES, clips)
    run = cost.value(FIGURES, "embedded", "per_run")
    assert three - run == pytest.approx(3 * (one - run))
    assert one - run > cost.value(FIGURES, "embedded", "per_clip") + 12 * FIGURES["stages"]["action_units"]["seconds"]


def test_a_check_says_how_far_it_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cost, "measured", lambda clips: 20.0)
    monkeypatch.setattr(cost, "predicted", lambda figures, clips: 25.0)
    assert cost.check(FIGURES, [tmp_path]) == {"clips": 1, "predicted": 25.0, "measured": 20.0, "error": 0.25}


@pytest.mark.parametrize("lacking", ["kind", "from"])
def test_a_figure_without_its_source_is_refused(tmp_path: Path, lacking: str) -> None:
    figures = yaml.safe_load(cost.FIGURES.read_text())
    del figures["stages"]["ocr"][lacking]
    (tmp_path / "cost.yaml").write_text(yaml.safe_dump(figures))
    with pytest.raises(ValueError, match=r"stages\.ocr"):
        cost.load_figures(tmp_path / "cost.yaml")


def test_no_model_figure_is_called_measured() -> None:
    assert {stage["kind"] for stage in FIGURES["stages"].values() if stage["uses"] == "gpu"} == {"data sheet"}


def test_the_last_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    cost.main([])
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert set(told["hours"]) == set(FIGURES["stages"])
    assert [row["gpus"] for row in told["plans"]] == [1, 1, 8, 8, 8, 8]
    assert all(row["wall_hours"] == max(row["hours"].values()) for row in told["plans"])
