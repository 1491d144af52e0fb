"""Writes a file of witnesses as YAML that people can read."""

from __future__ import annotations

from functools import partial

import yaml

from merrflow.stages.witnesses.rules import Witnesses


def witnesses_yaml(rules: Witnesses) -> str:
    """The file's text; reading it gives the same rules. What was fitted, and how well it does, comes first."""
    values = rules.model_dump(mode="json", exclude_none=True)
    head = {key: values.pop(key) for key in ("name", "version", "fit") if key in values}
    about = (
        "# Witnesses of a label: what each vote weighs, and what the votes must add up to. What a number means is in\n"
        "# merrflow's own witnesses.yaml. The figures are on clips that nothing was fitted to, the defaults' on all.\n"
    )
    dump = partial(yaml.safe_dump, allow_unicode=True, sort_keys=False, width=120)
    return f"{about}{dump(head)}\n{dump(values, default_flow_style=None)}"
