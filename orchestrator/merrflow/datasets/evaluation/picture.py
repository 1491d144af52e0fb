"""The evaluation as one picture. The colours are distinct for the colour-blind, and numbers are beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_bytes
from merrflow.core.errors import InputError
from merrflow.datasets.evaluation.ceilings import Ceilings
from merrflow.datasets.evaluation.compare import RunReport
from merrflow.datasets.evaluation.labels import LabelMeasures
from merrflow.datasets.evaluation.measures import Share
from merrflow.datasets.evaluation.peaks import PeakMeasures
from merrflow.datasets.evaluation.rulesets import RuleSetMeasures, RulesReport
from merrflow.datasets.evaluation.units import UnitMeasures

FORMATS = ("png", "svg")
# Okabe & Ito (2008), Color Universal Design: blue, orange, green, grey
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#777777"
_FAR = 30  # frames; peaks further away share the outermost bars
_DPI = 130
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # so that a number reads on any colour
_FIGURES = (("all", "all records"), ("non_neutral", "not neutral"), ("balanced", "balanced"))


def check_picture(path: Path) -> None:
    """Raises InputError if `path` is not a picture that can be written."""
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise InputError(f"{path}: the picture must end in .png or .svg")
    if path.is_dir():
        raise InputError(f"{path}: is a folder")


def draw(path: Path, against: str, run: RunReport | None = None, rules: RulesReport | None = None) -> None:
    """Writes a picture of the reports that are there: one row of panels each. Same reports, same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    rows = [(_run_panels(run), f"run against {against}")] if run else []
    rows += [(_rules_panels(rules), f"rule sets on the Action Units of {against}")] if rules else []
    width = max(len(panels) for panels, _ in rows)
    # names come from files: a "$" in one is no formula
    style: Any = {"svg.hashsalt": "merrflow", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(5.6 * width, 5.6 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, (panels, title) in zip(parts, rows, strict=True):
            part.suptitle(title, fontsize=12)
            for axes, panel in zip(part.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
                panel(axes)
        data = io.BytesIO()
        kind = path.suffix.lower().lstrip(".")
        figure.savefig(data, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else {"Software": None})
    whole_bytes(path, data.getvalue())


def _run_panels(report: RunReport) -> list[Any]:
    panels: list[Any] = []
    if report.labels:
        labels = report.labels
        panels.append(lambda axes: _confusion(axes, labels, "label of the run", f"labels, {_right(labels.accuracy)}"))
    if report.peak:
        peak = report.peak
        panels.append(lambda axes: _peaks(axes, peak))
    if report.units:
        units = report.units
        panels.append(lambda axes: _units(axes, units))
    return panels or [_nothing]


def _rules_panels(report: RulesReport) -> list[Any]:
    def confusion(measures: RuleSetMeasures) -> Any:
        title = f"{measures.rules}: {_percent(measures.labels.accuracy.value)} of all right"
        return lambda axes: _confusion(axes, measures.labels, "label of the rules", title)

    return [lambda axes: _accuracies(axes, report), *map(confusion, report.rule_sets)]


def _confusion(axes: Any, measures: LabelMeasures, across: str, title: str) -> None:
    """Rows are shares of the file's label; labels that the file does not have are left out of the rows."""
    from matplotlib.patches import Rectangle

    rows = [index for index, row in enumerate(measures.rows) if row.clips]
    names = [row.label for row in measures.rows]
    shares = [[count / measures.rows[index].clips for count in measures.confusion[index]] for index in rows]
    axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for place, index in enumerate(rows):
        for column, count in enumerate(measures.confusion[index]):
            part = shares[place][column]
            colour = "black" if part > 0.55 else "white"  # cividis runs from dark blue to yellow
            text = f"{part:.0%}\n{count}" if count else "·"
            axes.text(column, place, text, ha="center", va="center", color=colour, fontsize=7)
        corner = (index - 0.47, place - 0.45)  # what agrees has a frame
        axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=ORANGE, lw=1.2))
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), [f"{names[index]} ({measures.rows[index].clips})" for index in rows])
    axes.set(xlabel=across, ylabel="label in the file (clips)", title=title)


def _peaks(axes: Any, measures: PeakMeasures) -> None:
    bars: dict[int, int] = {}
    for difference, count in measures.differences.items():
        place = max(-_FAR, min(difference, _FAR))
        bars[place] = bars.get(place, 0) + count
    axes.axvspan(-2.5, 2.5, color=GREY, alpha=0.2, lw=0, label=f"within 2: {_percent(measures.within[2].value)}")
    axes.bar(list(bars), list(bars.values()), width=0.9, color=BLUE)
    axes.axvline(measures.median_difference, color=ORANGE, ls="--", label=f"median {measures.median_difference:+g}")
    edge = max([5, *map(abs, bars)])
    axes.set_xlim(-edge - 1, edge + 1)
    if edge == _FAR:
        axes.set_xticks([-30, -20, -10, 0, 10, 20, 30], ["≤ -30", "-20", "-10", "0", "10", "20", "≥ 30"])
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)
    title = f"peak frame, {_clips(measures.clips)}, median distance {measures.median:g}"
    axes.set(xlabel="frames after the file's peak (before: negative)", ylabel="clips", title=title)


def _units(axes: Any, measures: UnitMeasures) -> None:
    rows = measures.rows
    axes.barh(range(len(rows)), [row.detection.f1 or 0 for row in rows], color=BLUE, height=0.7, label="F1")
    for values, marker, colour, name in (
        ([row.detection.precision for row in rows], "o", ORANGE, "precision"),
        ([row.detection.recall for row in rows], "D", GREEN, "recall"),
    ):
        known = [(value, place) for place, value in enumerate(values) if value is not None and rows[place].comparable]
        xs, ys = [x for x, _ in known], [y for _, y in known]
        axes.scatter(xs, ys, marker=marker, s=28, color=colour, edgecolor="black", lw=0.5, label=name, zorder=3)
    for place, row in enumerate(rows):
        note = "" if row.measured else "not measured by the engine"
        note = note or ("" if row.told else "not reported in the file")
        note = note or ("" if row.file or row.run else "at no peak of either side")
        axes.text(0.01, place, note, va="center", fontsize=7, color="black", style="italic")
    axes.set_yticks(range(len(rows)), [f"{row.unit} ({row.file} | {row.run})" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.11))
    micro, macro = _percent(measures.micro.f1), _percent(measures.macro.f1)
    title = (
        f"Action Units at the peak, {_clips(measures.clips)}\nF1 of what both can have: micro {micro}, macro {macro}"
    )
    axes.set(ylabel="Action Unit (peaks in file | run)", title=title)


def _accuracies(axes: Any, report: RulesReport) -> None:
    """Each rule set's three figures between the majority's and the ceiling of any function of the peak set."""
    all_ceilings: Sequence[tuple[str, Ceilings | None]] = [
        (name, getattr(report.limits, figure)) for figure, name in _FIGURES
    ]
    width = 0.8 / len(report.rule_sets)
    colours = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00"]
    for index, measures in enumerate(report.rule_sets):
        labels = measures.labels
        values = [labels.accuracy.value, labels.non_neutral.value, labels.balanced]
        name = f"{measures.rules} (fitted to this file; ◇ cross-validated)" if measures.fitted_here else measures.rules
        places = [place - 0.4 + (index + 0.5) * width for place in range(len(values))]
        colour = colours[index % len(colours)]
        axes.bar(places, [value or 0 for value in values], width * 0.9, color=colour, label=name)
        for place, value in zip(places, values, strict=True):
            axes.text(place, (value or 0) / 2, _percent(value), ha="center", fontsize=8, bbox=_BOX)
        for place, (figure, _) in zip(places, _FIGURES, strict=True):
            bound = measures.cross_validated.get(figure)
            if bound:
                axes.plot(place, bound.mean, marker="D", color="white", markeredgecolor="black", ms=6, ls="")
    drawn: Mapping[str, tuple[str, str]] = {
        "ceiling": ("-", "best function of the exact set (in-sample)"),
        "lookup": ("--", "the same, cross-validated"),
        "majority": (":", "one label for all"),
    }
    for key, (style, name) in drawn.items():
        for place, (_, ceilings) in enumerate(all_ceilings):
            bound = getattr(ceilings, key) if ceilings else None
            if bound:
                label = name if place == 0 else None
                axes.hlines(bound.mean, place - 0.45, place + 0.45, color="black", ls=style, lw=1.3, label=label)
    axes.set_xticks(range(len(all_ceilings)), [name for name, _ in all_ceilings])
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=7.5, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.06))
    axes.set(ylabel="label accuracy", title=f"label from the peak's Action Units, {report.records} records")


def _nothing(axes: Any) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "the file holds nothing that could be drawn", ha="center")


def _right(share: Share) -> str:
    return f"{share.hits} of {share.total} right"


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
