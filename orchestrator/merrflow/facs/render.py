"""Writes a fitted rule set as YAML that people can read: one line per label, columns by Action Unit."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import Any

from merrflow.facs.rules import RuleSet

# what YAML 1.1 takes for a boolean or null, or people easily do
_NOT_TEXT = frozenset(["y", "n", "yes", "no", "true", "false", "on", "off", "null", "none"])


def rules_yaml(rules: RuleSet) -> str:
    """The file's text; reading it gives the same set. For sets with decide: weights."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if rules.decide != "weights" or rules.fit is None:
        raise ValueError(f"{rules.title} is not a fitted set")
    environment = Environment(
        loader=PackageLoader("merrflow.facs", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(word=_word, folded=_folded)
    return environment.get_template("fitted.yaml.j2").render(rules=rules)


def _folded(text: str, indent: int) -> str:
    """A long text over several lines, which YAML joins with blanks again."""
    blanks = " " * indent
    return "\n".join(wrap(text, 116, initial_indent=blanks, subsequent_indent=blanks, break_on_hyphens=False))


def _word(value: Any) -> str:
    """A scalar as YAML: words as they are, other text as a JSON string, which YAML reads alike."""
    if isinstance(value, str) and value.replace("_", "").isalnum() and value[0].isalpha() and value not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
