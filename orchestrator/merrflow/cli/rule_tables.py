"""How `merrflow rules` shows a rule set: as plain values for JSON, and as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from merrflow.facs.fitted import Fit
from merrflow.facs.rules import Prototype, Rule, RuleSet


def summary(rules: RuleSet) -> dict[str, Any]:
    """A rule set's line of a list."""
    return {
        "name": rules.name,
        "version": rules.version,
        "decide": rules.decide,
        "labels": list(rules.labels),
        "description": rules.description,
    }


def describe(rules: RuleSet) -> dict[str, Any]:
    """The whole set and its phrases, as JSON can hold it."""
    lexicon = rules.phrases()
    return {**rules.model_dump(mode="json"), "phrases": {code: list(lexicon.phrases[code]) for code in _units(rules)}}


def show_rules(rules: RuleSet, console: Console) -> None:
    """Labels, units, phrases, sources."""
    lexicon = rules.phrases()
    console.print(f"[bold]{rules.name}[/bold] {escape(rules.version)}: {escape(rules.description)}")
    console.print(_how(rules))
    if rules.decide == "weights":
        _show_weights(rules, console)
    else:
        table = Table("label", "units of AU_list", "needs", show_lines=True)
        for rule in rules.rules:
            table.add_row(rule.label, " ".join(rule.action_units), "\n".join(_conditions(rule)))
        console.print(table)
    if rules.neutral.action_units:
        console.print(
            f"AU_list of a {rules.neutral.label} clip with all of {' '.join(rules.neutral.action_units)}: these units"
        )
    table = Table("unit", f"phrases (lexicon {escape(lexicon.name)} {escape(lexicon.version)})")
    for code in _units(rules):
        table.add_row(code, " · ".join(escape(phrase) for phrase in lexicon.phrases[code]))
    console.print(table)
    if rules.fit:
        show_fit(rules.fit, console)
    for source in rules.sources:
        console.print(f"source: {source}", markup=False)


def show_fit(fit: Fit, console: Console) -> None:
    """How accurate a fitted set is on records it was not fitted to."""
    table = Table("on records not fitted to", "right", "spread")
    rows = [("all", fit.accuracy), ("not neutral", fit.non_neutral), ("mean of the labels' recalls", fit.balanced)]
    rows += [(f"recall of {label}, {fit.records.get(label, 0)} records", value) for label, value in fit.recall.items()]
    rows += [(f"all, by {name} instead", value) for name, value in fit.others.items()]
    for name, value in rows:
        table.add_row(escape(name), f"{value.mean:.1%}", f"{value.spread:.1%}")
    table.add_section()
    table.add_row("always the most frequent label", f"{fit.majority:.1%}", "")
    table.add_row("best function of the exact set, on the records it is made from", f"{fit.ceiling:.1%}", "")
    console.print(table)
    console.print(f"fitted to {fit.against}, {sum(fit.records.values())} records; {fit.validation}", markup=False)
    for label, count in fit.left_out.items():
        console.print(f"left out: {label}, too few records ({count})", markup=False)


def _show_weights(rules: RuleSet, console: Console) -> None:
    table = Table("log odds against neutral", *rules.labels[1:])
    table.add_row("no unit", *(f"{rule.intercept:.2f}" for rule in rules.rules))
    for code, rate in rules.base_rates.items():
        cells = [f"{rule.weights[code]:+.2f}" + ("*" if code in rule.action_units else "") for rule in rules.rules]
        table.add_row(f"{code}, present in {rate:.0%}", *cells)
    console.print(table)
    console.print("* a unit of the label's own, listed in AU_list; the label needs one of them")


def _how(rules: RuleSet) -> str:
    if rules.decide == "first":
        return "The first of these that holds gives the label; neutral if none does."
    if rules.decide == "score":
        return f"The strongest of these gives the label if it scores {rules.threshold} or more; else neutral."
    return "The highest log odds give the label if they are above 0; else neutral."


def _conditions(rule: Rule) -> list[str]:
    if rule.minimum is not None:
        return [f"{rule.minimum} or more of them"]
    lines = [_prototype(prototype) for prototype in rule.prototypes]
    for word, weights in (("for", rule.support), ("against", rule.against)):
        if weights:
            lines.append(f"{word}: " + ", ".join(f"{code} {weight:g}" for code, weight in weights.items()))
    return lines


def _prototype(prototype: Prototype) -> str:
    units = [
        f"{code} from {prototype.at_least[code]:g}" if code in prototype.at_least else code for code in prototype.core
    ]
    weight = f" x {prototype.weight:g}" if prototype.weight != 1 else ""
    return escape(" + ".join(units) + weight + (f" [{prototype.source}]" if prototype.source else ""))


def _units(rules: RuleSet) -> list[str]:
    codes = {code for rule in rules.rules for code in rule.action_units}
    return sorted(codes.union(rules.neutral.action_units))
