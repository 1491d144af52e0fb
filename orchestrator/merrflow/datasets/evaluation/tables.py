"""The evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from merrflow.datasets.evaluation.ceilings import Bound
from merrflow.datasets.evaluation.compare import RunReport
from merrflow.datasets.evaluation.gate import Gate
from merrflow.datasets.evaluation.labels import LabelMeasures
from merrflow.datasets.evaluation.lists import ListMeasures, PhraseMeasures
from merrflow.datasets.evaluation.measures import Detection, Share
from merrflow.datasets.evaluation.rulesets import RulesReport
from merrflow.datasets.evaluation.texts import TextMeasures
from merrflow.datasets.evaluation.units import UnitMeasures

FEW = 30  # matched clips; below, a line says that the figures mean little


def show_run(report: RunReport, console: Console) -> None:
    """A run against a file."""
    clips = report.clips
    lost = "".join(f", {count} {outcome} without a record" for outcome, count in clips.no_record.items())
    matched = "1 clip" if clips.matched == 1 else f"{clips.matched} clips"
    _say(console, f"{matched} in both; {clips.run_only} in the run only, {clips.file_only} in FILE only{lost}")
    if clips.matched < FEW:
        _say(console, f"{matched}: too few to judge by; mind the intervals", style="yellow")
    for title, values in (("rules", report.rules), ("Action Units by", report.engines)):
        _say(console, f"{title}: {_listed(values)}")
    if set(report.label_sources) - {"rules"}:
        _say(
            console,
            f"labels by {_listed(report.label_sources)}: given ones say nothing about the rules",
            style="yellow",
        )
    if report.peak:
        peak = report.peak
        table = _table("Peak frame, run less FILE, in frames")
        names = ["clips", "median distance", "mean distance", "median difference", "mean difference"]
        for name in [*names, *(f"within {frames}" for frames in peak.within)]:
            table.add_column(name, justify="right")
        table.add_row(
            str(peak.clips),
            f"{peak.median:g}",
            f"{peak.mean:.1f}",
            f"{peak.median_difference:+g}",
            f"{peak.mean_difference:+.1f}",
            *(percent(within.value) for within in peak.within.values()),
        )
        console.print(table)
    if report.units:
        _show_units(report.units, console)
    if report.lists:
        lists = report.lists
        _show_lists({"all clips": lists.all, "same label, not neutral": lists.same_label}, console)
        _say(console, f"same phrase for a unit that both name: {_share(lists.same_phrase)}")
        for side, phrases in lists.phrases.items():
            _say(console, f"phrases of the {side}: {_phrases(phrases, lists.lexicons[side])}")
    if report.labels:
        _show_labels(report.labels, "Labels of the run", console)
    if report.ruled_labels:
        _show_labels(report.ruled_labels, "Labels that the rules alone would give", console)
    _show_texts(report.texts, "Captions of the clips in both", console)
    _show_texts(report.texts_of_all, "Captions of all clips", console)


def show_gate(gate: Gate, console: Console) -> None:
    """A run held against its baseline."""
    table = _table(f"Against the baseline, {gate.clips} clips", "", "before", "now", "change, 95 % interval", "")
    for one in gate.changes:
        if one.before is None and one.now is None:
            continue
        noise = f"{one.low:+.3f} to {one.high:+.3f}" if one.low is not None and one.high is not None else "-"
        verdict = Text("dropped", style="red") if one.dropped else Text("")
        table.add_row(Text(one.score), _number(one.before), _number(one.now), noise, verdict)
    console.print(table)


def show_rules(report: RulesReport, console: Console) -> None:
    """Rule sets side by side on a file."""
    _say(console, f"{report.records} records, {report.limits.sets} different sets of Action Units at the peak")
    _say(console, f"phrases of FILE: {_phrases(report.phrases, report.lexicon)}")
    names = ("all", "not neutral", "balanced", "kappa", "macro F1")
    table = _table("Label from the peak's Action Units", "", *names)
    for measures in report.rule_sets:
        labels = measures.labels
        values = [percent(value) for value in (labels.accuracy.value, labels.non_neutral.value, labels.balanced)]
        title = f"{measures.rules}, on what it was fitted to" if measures.fitted_here else measures.rules
        table.add_row(Text(title), *values, _number(labels.kappa), _number(labels.macro_f1))
        if measures.cross_validated:
            cells = [_bound(measures.cross_validated.get(name)) for name in ("all", "non_neutral", "balanced")]
            table.add_row(Text(f"{measures.rules}, cross-validated"), *cells)
    table.add_section()
    ceilings = (report.limits.all, report.limits.non_neutral, report.limits.balanced)
    for key, name in (
        ("majority", "one label for all, at best"),
        ("lookup", "best function of the exact set, cross-validated"),
        ("ceiling", "ceiling: the same, in-sample"),
    ):
        table.add_row(name, *(_bound(getattr(each, key, None)) for each in ceilings), style="dim")
    console.print(table)
    console.print(
        "each ceiling has the function that is best for its own column; FILE stores no intensities", style="dim"
    )
    _say(console, "AU_list of the records that are not neutral: same units, and in brackets the same list as written")
    table = _table(None, "", "given FILE's label", "given the rules' label")
    for measures in report.rule_sets:
        cells = [
            f"{percent(agreement.same_set.value)} ({percent(agreement.as_written.value)})"
            for agreement in (measures.given_label, measures.ruled_label)
        ]
        table.add_row(Text(measures.rules), *cells)
    console.print(table)
    for measures in report.rule_sets:
        _show_labels(measures.labels, f"{measures.rules}: labels", console)


def _show_labels(measures: LabelMeasures, title: str, console: Console) -> None:
    _say(
        console,
        f"{title}: {_share(measures.accuracy)} right; not neutral {_share(measures.non_neutral)}; "
        f"balanced {percent(measures.balanced)}; kappa {_number(measures.kappa)}; "
        f"always {measures.majority_label!r}: {percent(measures.majority.value)}",
    )
    table = Table(title="rows: FILE's label; columns: the label given", title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("label", no_wrap=True)
    for row in measures.rows:
        table.add_column(Text(row.label[:8]), justify="right")
    for name in ("precision", "recall", "F1"):
        table.add_column(name, justify="right", style="bold")
    for index, (row, counts) in enumerate(zip(measures.rows, measures.confusion, strict=True)):
        cells = [f"[bold]{n}[/bold]" if i == index else str(n) if n else "·" for i, n in enumerate(counts)]
        table.add_row(Text(f"{row.label} ({row.clips})"), *cells, *_detection(row.detection))
    console.print(table)


def _show_units(measures: UnitMeasures, console: Console) -> None:
    names = ("in FILE", "in run", "in both", "precision", "recall", "F1")
    table = _table("Action Units at the peak", "", *names)
    table.add_column("")
    for row in measures.rows:
        note = "" if row.measured else "not measured by the run's engine"
        note = note or ("" if row.told else "FILE does not report it")
        figures = _detection(row.detection) if row.comparable else ("", "", "")
        table.add_row(row.unit, str(row.file), str(row.run), str(row.both), *figures, note)
    table.add_section()
    for name, detection in (
        ("micro, of what both can have", measures.micro),
        ("macro, of what both can have", measures.macro),
        ("micro, of all", measures.micro_all),
    ):
        table.add_row(name, "", "", "", *_detection(detection), "")
    console.print(table)
    if not measures.engine_known:
        _say(console, "what the run's engine can measure is not recorded here: every unit is taken as measured")


def _show_lists(lists: Mapping[str, ListMeasures | None], console: Console) -> None:
    table = _table("AU_list", "", "same units", "same order too", "mean overlap")
    for name, measures in lists.items():
        if measures:
            cells = (_share(measures.same_set), _share(measures.same_order), percent(measures.overlap))
            table.add_row(name, *cells)
    console.print(table)


def _show_texts(texts: Mapping[str, TextMeasures], title: str, console: Console) -> None:
    if not texts:
        return
    names = ("texts", "words", "median", "mean", "duplicated", "sample", "distinct-1", "distinct-2", "overlap")
    table = _table(f"{title}: words, and how distinct they are", "", *names)
    for name, measures in texts.items():
        table.add_row(
            name,
            str(measures.texts),
            f"{measures.shortest}-{measures.longest}",
            f"{measures.median:g}",
            f"{measures.mean:.1f}",
            str(measures.duplicated),
            str(measures.sampled),
            _number(measures.distinct_1),
            _number(measures.distinct_2),
            _number(measures.overlap, 3),
        )
    console.print(table)


def _table(title: str | None, *columns: str) -> Table:
    """A table whose first column is text, and the others numbers."""
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    return table


def _phrases(measures: PhraseMeasures, lexicon: str) -> str:
    text = f"{_share(measures.accounted)} in the lexicon {lexicon!r} under their Action Unit"
    parts = [("misspelt", measures.misspelt), ("published errata", measures.errata)]
    told = ", ".join(f"{count} {name}" for name, count in parts if count)
    text += f" ({told} among them)" if told else ""
    return text + (f"; unknown: {', '.join(map(repr, measures.examples))}" if measures.examples else "")


def _detection(detection: Detection) -> tuple[str, str, str]:
    return percent(detection.precision), percent(detection.recall), percent(detection.f1)


def _bound(bound: Bound | None) -> str:
    if bound is None:
        return "–"
    return percent(bound.mean) + (f" ±{100 * bound.spread:.1f}" if bound.spread is not None else "")


def _share(share: Share) -> str:
    if share.interval is None:
        return "– of none"
    low, high = share.interval
    return f"{percent(share.value)} of {share.total} ({100 * low:.1f}-{100 * high:.1f} %)"


def percent(value: float | None) -> str:
    """0.275 as "27.5 %"."""
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _listed(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in values.items())


def _say(console: Console, text: str, style: str = "") -> None:
    """A line of plain text: text from files is never read as markup."""
    console.print(Text(text, style=style), soft_wrap=True)
