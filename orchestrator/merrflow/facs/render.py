"""Writes a fitted rule set as YAML that people can read: one line a label, columns by Action Unit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from merrflow.facs.fitted import Fit, Measured
from merrflow.facs.rules import RuleSet

_HEAD = """\
# A fitted rule set, written by `merrflow rules fit`. Change it by hand only under another name.
#
# A label's log odds against neutral are its intercept plus the weights of the units present at the peak. The label
# with the highest log odds is given where these are above 0 and a unit of its own (action_units) is present, else
# neutral. A unit that the engine cannot measure counts by its base rate, its share of the records fitted to.
#
# The figures under `fit` are from records that the weights were not fitted to. `ceiling` is what the best function of
# the exact set of units gets right on the very records it is made from; where `sets_seen_once` is high, it is mostly
# memory. `others` shows what methods reach that can learn any such function.
"""


def rules_yaml(rules: RuleSet) -> str:
    """The file's text; reading it gives the same set. For sets with decide: weights."""
    if rules.decide != "weights" or rules.fit is None:
        raise ValueError(f"{rules.title} is not a fitted set")
    codes = list(rules.base_rates)
    lines = [_HEAD.rstrip()]
    lines += [f"{key}: {_plain(getattr(rules, key))}" for key in ("name", "version")]
    lines += _folded("description", rules.description)
    lines += ["decide: weights", f"lexicon: {_plain(rules.lexicon)}", "", "peak:"]
    lines += [f"  {key}: {_plain(value)}" for key, value in rules.peak.model_dump().items()]
    lines += ["", "neutral:", f"  label: {_plain(rules.neutral.label)}", f"  aliases: {_flow(rules.neutral.aliases)}"]
    lines += ["", "fit:", *_fit(rules.fit)]
    lines += ["", "base_rates:", *_table(rules.base_rates, codes, "  "), "", "rules:"]
    for rule in rules.rules:
        lines += [
            f"  - label: {_plain(rule.label)}",
            f"    aliases: {_flow(rule.aliases)}",
            f"    action_units: {_flow(rule.action_units)}",
            f"    intercept: {rule.intercept:.2f}",
            "    weights:",
            *_table(rule.weights, codes, "      "),
        ]
    return "\n".join(lines) + "\n"


def _fit(fit: Fit) -> list[str]:
    lines = [f"  {key}: {_plain(getattr(fit, key))}" for key in ("against", "sha256")]
    lines += ["  records:", *(f"    {_plain(label)}: {count}" for label, count in fit.records.items())]
    for key in ("method", "class_weights", "validation"):
        lines += _folded(f"  {key}", getattr(fit, key))
    lines += [f"  {key}: {_measured(getattr(fit, key))}" for key in ("accuracy", "non_neutral", "balanced")]
    lines += ["  recall:", *(f"    {_plain(label)}: {_measured(value)}" for label, value in fit.recall.items())]
    lines += [f"  {key}: {getattr(fit, key):.3f}" for key in ("majority", "ceiling", "sets_seen_once")]
    if fit.others:
        lines += ["  others:", *(f"    {_plain(name)}: {_measured(value)}" for name, value in fit.others.items())]
    if fit.left_out:
        lines.append(f"  left_out: {_mapping(fit.left_out)}")
    return lines


def _measured(value: Measured) -> str:
    return f"{{mean: {value.mean:.3f}, spread: {value.spread:.3f}}}"


def _table(values: Mapping[str, float], codes: Sequence[str], indent: str) -> list[str]:
    """A flow mapping in lines of six units (the first six are the upper face), aligned, to compare labels by eye."""
    cells = [f"{code}: {values[code]:5.2f}" for code in codes]
    rows = [", ".join(cells[start : start + 6]) for start in range(0, len(cells), 6)]
    return [f"{indent}{'{' if not n else ' '}{row}{'}' if row is rows[-1] else ','}" for n, row in enumerate(rows)]


def _folded(key: str, text: str) -> list[str]:
    """A long text over several lines, which YAML joins with blanks again."""
    indent = " " * (len(key) - len(key.lstrip()) + 2)
    return [f"{key}: >-", *wrap(text, 116, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)]


def _mapping(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{_plain(key)}: {value}" for key, value in values.items()) + "}"


def _flow(words: Sequence[str]) -> str:
    return "[" + ", ".join(_plain(word) for word in words) + "]"


def _plain(value: Any) -> str:
    """A scalar as YAML: words as they are, other text as a JSON string, which YAML reads alike."""
    if isinstance(value, str) and value.replace("_", "").isalnum() and value[0].isalpha() and value not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)


# what YAML 1.1 takes for a boolean or null, or people easily do
_NOT_TEXT = frozenset(["y", "n", "yes", "no", "true", "false", "on", "off", "null", "none"])
