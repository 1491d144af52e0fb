"""The curves of one clip as geometry: positions in an SVG of fixed size. The template draws it.

Time runs to the right in seconds, intensity upwards from 0 to 5 as in FACS (A to E) and OpenFace. Everything is
in units of the drawing, which the browser scales.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from merrflow.core.records import Record
from merrflow.facs import action_units

WIDTH, HEIGHT = 600, 276
LEFT, RIGHT, TOP, BOTTOM = 42, 546, 28, 220  # of the plot; AU codes are to the right of it
SPEECH_TOP, SPEECH_BOTTOM = 225, 231  # the strip that shows when somebody speaks, right below the plot
MAX_INTENSITY = 5.0
HIGHLIGHTED = 4  # curves with a colour and a name; more cannot be distinguished
FLAT = 0.05  # a curve that never rises above this is left out
CODE_SPACING = 17  # between the AU codes at the right, so that they do not overlap on a phone either
BINS = 220  # of time; a longer curve is drawn by the lowest and highest value in each bin
GAP_STEPS = 2.5  # a pause of more than so many usual steps breaks a curve
VISIBLE_GAP = 3.0  # units; a narrower gap would look like a shot cut


@dataclass(frozen=True)
class Line:
    """One Action Unit's curve. `color` is 0 for a faint one, else 1 to HIGHLIGHTED."""

    code: str
    name: str
    color: int
    path: str  # SVG path data
    at_peak: float | None  # intensity; None if the curve has no value there
    highest: float
    marker: tuple[float, float] | None  # x, y of the value at the peak
    code_y: float = 0.0


@dataclass(frozen=True)
class Mark:
    """A vertical line: the peak or a shot cut."""

    x: float
    frame: int
    seconds: float


@dataclass(frozen=True)
class Span:
    """A stretch of time."""

    x: float
    width: float
    start: float  # seconds
    end: float  # seconds


@dataclass(frozen=True)
class Chart:
    """All that is drawn for one clip."""

    faint: tuple[Line, ...]
    strong: tuple[Line, ...]
    peak: Mark
    cuts: tuple[Mark, ...]
    unseen: tuple[Span, ...]  # the subject is not in view
    speech: tuple[Span, ...]
    seconds: tuple[tuple[float, str], ...]  # x and text of the ticks
    intensities: tuple[tuple[float, str], ...]  # y and text of the ticks


def draw(record: Record) -> Chart | None:
    """The chart of a record, or None if it has no curve above zero."""
    curves, probe = record.curves, record.probe
    times = curves.timestamps
    series = {
        code: values
        for code, values in curves.intensity.items()
        if len(values) == len(times) and max(values, default=0.0) > FLAT
    }
    if not series:
        return None
    end = max(probe.seconds, times[-1], record.peak.timestamp)
    scale = _Scale(end if end > 0 else 1.0)
    step = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
    usual = max(step, 1 / probe.fps if probe.fps > 0 else 0.0)
    pieces = _pieces(record, GAP_STEPS * usual)
    xs = [f"{scale.x(time):g}" for time in times]
    at_peak = next((i for i, frame in enumerate(curves.frames) if frame == record.peak.index), None)
    chosen = most_active(series, record)
    lines = []
    for code in (*chosen, *(code for code in sorted(series) if code not in chosen)):
        values = [min(max(value, 0.0), MAX_INTENSITY) for value in series[code]]
        value = None if at_peak is None else values[at_peak]
        lines.append(
            Line(
                code=code,
                name=facs_name(code),
                color=chosen.index(code) + 1 if code in chosen else 0,
                path=" ".join(_path(xs, values, piece, scale) for piece in pieces),
                at_peak=value,
                highest=max(values),
                marker=None if at_peak is None else (scale.x(times[at_peak]), scale.y(values[at_peak])),
                code_y=scale.y(values[-1]),
            )
        )
    strong = _spread([line for line in lines if line.color])
    fps = probe.fps if probe.fps > 0 else 1.0
    return Chart(
        faint=tuple(line for line in lines if not line.color),
        strong=strong,
        peak=Mark(scale.x(record.peak.timestamp), record.peak.index, record.peak.timestamp),
        cuts=tuple(
            Mark(scale.x(shot.start / fps), shot.start, shot.start / fps)
            for shot in probe.shots[1:]
            if shot.start / fps <= scale.end
        ),
        unseen=tuple(_unseen(times, pieces, usual, scale)),
        speech=tuple(
            scale.span(start, stop) for start, stop in (record.tone.speech if record.tone else ()) if stop > start
        ),
        seconds=tuple((scale.x(value), f"{value:g}") for value in _ticks(scale.end)),
        intensities=tuple((scale.y(value), str(value)) for value in range(int(MAX_INTENSITY) + 1)),
    )


def facs_name(code: str) -> str:
    """The unit's name in the FACS manual; empty for one that the project does not know."""
    unit = action_units().get(code)
    return unit.name if unit else ""


class _Scale:
    """Seconds and intensities to units of the drawing."""

    def __init__(self, end: float) -> None:
        self.end = end

    def x(self, seconds: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * min(max(seconds / self.end, 0.0), 1.0), 1)

    def y(self, intensity: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * intensity / MAX_INTENSITY, 1)

    def span(self, start: float, end: float) -> Span:
        return Span(self.x(start), round(self.x(end) - self.x(start), 1), start, end)


def most_active(series: Mapping[str, Sequence[float]], record: Record) -> list[str]:
    """The curves worth a colour: first those the label and the peak rest on, then by their highest value.

    Blinks rise high in every clip and mean nothing, so they come last.
    """

    def rank(code: str) -> tuple[int, float]:
        used = 0 if code in record.label.action_units else 1 if code in record.peak.frequent else 2
        unit = action_units().get(code)
        if unit and unit.blink:
            used = 3
        return used, -max(series[code])

    return sorted(sorted(series, key=rank)[:HIGHLIGHTED])


def _pieces(record: Record, longest: float) -> list[range]:
    """The samples, parted at every pause of more than `longest` seconds and at every shot cut."""
    times, frames = record.curves.timestamps, record.curves.frames
    cuts = [shot.start for shot in record.probe.shots[1:]]
    starts = [0]
    for i in range(1, len(times)):
        pause = times[i] - times[i - 1] > longest > 0
        if pause or any(frames[i - 1] < cut <= frames[i] for cut in cuts):
            starts.append(i)
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(times)], strict=True)]


def _unseen(times: Sequence[float], pieces: list[range], step: float, scale: _Scale) -> list[Span]:
    edges = [0.0]
    for piece in pieces:
        edges += [times[piece[0]], times[piece[-1]] + step]
    edges.append(scale.end)
    spans = [scale.span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [span for span in spans if span.width > VISIBLE_GAP]


def _path(xs: Sequence[str], values: Sequence[float], piece: range, scale: _Scale) -> str:
    kept = _thinned(values, piece, len(values))
    ys = [f"{scale.y(values[i]):g}" for i in kept]
    inner = range(1, len(kept) - 1)  # of a level run only the ends are drawn
    drawn = {0, *(i for i in inner if not ys[i - 1] == ys[i] == ys[i + 1]), len(kept) - 1}
    points = [f"{xs[kept[i]]},{ys[i]}" for i in sorted(drawn)]
    if len(points) == 1:  # a zero-length stroke with round caps shows as a dot
        points *= 2
    return "M" + "L".join(points)


def _thinned(values: Sequence[float], piece: range, total: int) -> list[int]:
    """Samples to draw: all, or of many the lowest and the highest in each bin, so that no peak is lost."""
    size = math.ceil(total / BINS)
    if size <= 2:
        return list(piece)
    kept = {piece[0], piece[-1]}
    for start in range(piece.start, piece.stop, size):
        bin_ = range(start, min(start + size, piece.stop))
        kept |= {min(bin_, key=values.__getitem__), max(bin_, key=values.__getitem__)}
    return sorted(kept)


def _spread(lines: list[Line]) -> tuple[Line, ...]:
    """The lines with their codes at the right edge moved apart, kept in order of height."""
    placed: dict[str, float] = {}
    above = TOP - CODE_SPACING / 2
    for line in sorted(lines, key=lambda line: line.code_y):
        above = placed[line.code] = max(line.code_y, above + CODE_SPACING)
    below = BOTTOM + CODE_SPACING / 2
    for code, y in sorted(placed.items(), key=lambda item: -item[1]):
        below = placed[code] = min(y, below - CODE_SPACING)
    return tuple(replace(line, code_y=round(placed[line.code], 1)) for line in lines)


def _ticks(end: float) -> list[float]:
    """At most seven round values from 0 to `end`."""
    rough = end / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    return [round(i * step, 6) for i in range(int(end / step * (1 + 1e-9)) + 1)]
