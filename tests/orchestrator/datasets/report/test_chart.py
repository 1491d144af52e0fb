"""The chart's geometry against values worked out by hand, and curves that are hard to draw."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from merrflow.core.measurements import Curves
from merrflow.datasets.report import chart
from merrflow.datasets.report.card import measured, number, short_revision
from tests.orchestrator.datasets.report.runs import FPS, FRAMES, PEAK, record

WIDTH = chart.RIGHT - chart.LEFT
HEIGHT = chart.BOTTOM - chart.TOP


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", path)]


def with_curve(values: list[float], times: list[float] | None = None, frames: list[int] | None = None):
    first = record("clip")
    times = times if times is not None else [i / FPS for i in range(len(values))]
    frames = frames if frames is not None else [round(time * FPS) for time in times]
    return replace(first, curves=Curves(tuple(times), tuple(frames), {"AU12": tuple(values)}))


def test_the_peak_stands_where_its_time_and_intensity_say() -> None:
    drawn = chart.draw(record("clip"))
    line = next(line for line in drawn.strong if line.code == "AU12")
    x = chart.LEFT + WIDTH * (PEAK / FPS) / (FRAMES / FPS)
    y = chart.BOTTOM - HEIGHT * 3.0 / 5
    assert drawn.peak.x == pytest.approx(x, abs=0.06)
    assert line.marker == pytest.approx((x, y), abs=0.06)
    assert line.at_peak == 3.0 == line.highest
    assert min(points(line.path), key=lambda p: p[1]) == pytest.approx((x, y), abs=0.06)


def test_a_curve_is_broken_at_a_shot_cut_and_the_cut_is_marked() -> None:
    drawn = chart.draw(record("clip"))
    (cut,) = drawn.cuts
    assert (cut.frame, cut.seconds) == (30, 1.2)
    assert cut.x == pytest.approx(chart.LEFT + WIDTH * 0.6, abs=0.06)
    line = drawn.strong[0]
    assert line.path.count("M") == 2
    before, after = (points(piece) for piece in line.path.split(" "))
    assert before[-1][0] < cut.x <= after[0][0]


def test_a_curve_at_zero_is_left_out_and_none_at_all_is_no_chart() -> None:
    drawn = chart.draw(record("clip"))
    assert [line.code for line in (*drawn.strong, *drawn.faint)] == ["AU06", "AU12"]
    assert chart.draw(with_curve([0.0, 0.04, 0.0])) is None
    assert chart.draw(with_curve([])) is None


def test_time_without_the_subject_is_shaded_and_not_bridged() -> None:
    times = [i / FPS for i in range(50) if not 10 <= i < 20 and i < 40]
    drawn = chart.draw(with_curve([2.0] * len(times), times))
    spans = [(round(span.start, 2), round(span.end, 2)) for span in drawn.unseen]
    assert spans == [(0.4, 0.8), (1.6, 2.0)]
    assert drawn.strong[0].path.count("M") == 3  # the gap and the cut at 1.2 s


def test_values_above_five_stay_inside() -> None:
    drawn = chart.draw(with_curve([0.0, 9.0, -3.0, 1.0]))
    ys = [y for _, y in points(drawn.strong[0].path)]
    assert min(ys) == chart.TOP and max(ys) == chart.BOTTOM


def test_one_frame_is_a_dot() -> None:
    first = with_curve([2.0])
    one = replace(
        first,
        probe=replace(first.probe, frame_count=1, seconds=0.0, fps=0.0, shots=()),
        peak=replace(first.peak, index=0, timestamp=0.0),
    )
    drawn = chart.draw(one)
    assert points(drawn.strong[0].path) == [(chart.LEFT, chart.BOTTOM - HEIGHT * 0.4)] * 2


def test_a_long_curve_keeps_its_spike() -> None:
    values = [0.5 + 0.1 * (i % 7) for i in range(9000)]
    values[4321] = 4.75
    first = with_curve(values)
    drawn = chart.draw(replace(first, probe=replace(first.probe, seconds=360.0, frame_count=9000, shots=())))
    found = points(drawn.strong[0].path)
    assert len(found) <= 2 * chart.BINS + 2
    assert min(y for _, y in found) == pytest.approx(chart.BOTTOM - HEIGHT * 0.95, abs=0.06)
    assert [x for x, _ in found] == sorted(x for x, _ in found)


def test_the_label_and_the_peak_choose_the_colours() -> None:
    first = record("clip")
    names = [f"AU{code:02}" for code in (45, 1, 2, 4, 6, 7, 9, 12, 15)]
    curves = {name: (5.0 - i * 0.5,) * FRAMES for i, name in enumerate(names)}
    drawn = chart.draw(replace(first, curves=replace(first.curves, intensity=curves)))
    # AU12 is the label's; then the three highest, blinks aside
    assert [line.code for line in drawn.strong] == ["AU01", "AU02", "AU04", "AU12"]
    assert [line.color for line in drawn.strong] == [1, 2, 3, 4]
    assert len(drawn.faint) == 5


def test_codes_at_the_edge_do_not_overlap() -> None:
    first = record("clip")
    curves = {name: (0.1,) * FRAMES for name in ("AU01", "AU02", "AU04", "AU12")}
    drawn = chart.draw(replace(first, curves=replace(first.curves, intensity=curves)))
    ys = sorted(line.code_y for line in drawn.strong)
    assert all(b - a >= chart.CODE_SPACING - 0.11 for a, b in pairwise(ys))
    assert ys[-1] <= chart.BOTTOM + chart.CODE_SPACING / 2


@pytest.mark.parametrize(
    ("end", "last", "count"), [(2.0, "2", 5), (0.04, "0.04", 5), (7.44, "6", 4), (600.0, "600", 7)]
)
def test_ticks_are_round_and_few(end: float, last: str, count: int) -> None:
    ticks = chart._ticks(end)
    assert (f"{ticks[-1]:g}", len(ticks)) == (last, count)


def test_numbers_are_for_people() -> None:
    assert [number(v) for v in (1234.5, 212.43, 0.12345, -21.37, 0.0)] == ["1234", "212", "0.123", "-21.4", "0"]
    assert measured("pitch_mean", (212.43, "Hz")) == "pitch mean 212 Hz"
    assert measured("people", (2.0, "1")) == "people 2"
    assert short_revision("sha256:" + "ab12" * 16) == "sha256:ab12ab12"
    assert short_revision("v1.5-beta") == "v1.5-beta"
