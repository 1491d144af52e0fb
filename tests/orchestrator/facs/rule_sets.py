"""Rule sets drawn at random, for property tests: whatever passes the checks of a file."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import ValidationError

from merrflow.facs import RuleSet, action_units, load_rules, soundness

CODES = tuple(action_units())
LABELS = ("happy", "sad", "angry", "fear")
codes = st.sampled_from(CODES)
present = st.frozensets(codes, max_size=12)
measurable = st.one_of(st.just(CODES), st.lists(codes, unique=True).map(tuple))
weight = st.floats(0.1, 2)


@st.composite
def intensities(draw, units):
    """An intensity for some of the units; the others are told by presence only."""
    return {code: draw(st.floats(0, 5)) for code in sorted(units) if draw(st.booleans())}


@st.composite
def rule_sets(draw, *ways: str) -> RuleSet:
    decide = draw(st.sampled_from(ways or ("first", "score", "weights")))
    labels = LABELS[: draw(st.integers(1, 4))]
    table = draw(st.lists(codes, min_size=1, max_size=6, unique=True))
    content = {
        "name": "drawn",
        "version": "1",
        "description": "",
        "decide": decide,
        "lexicon": "default",
        "peak": load_rules("default").peak.model_dump(),
        "neutral": {"label": "neutral"},
        "rules": [],
    }
    if decide == "score":
        content |= {"threshold": draw(st.floats(0.1, 1)), "strength": {"full": 3, "floor": 0.34, "presence_only": 1}}
    if decide == "weights":
        content["base_rates"] = {code: draw(st.floats(0, 1)) for code in table}
    for label in labels:
        units = draw(st.lists(codes, min_size=1, max_size=6, unique=True))
        rule = {"label": label, "action_units": units}
        if decide == "first":
            rule["minimum"] = draw(st.integers(1, len(units)))
        elif decide == "score":
            cores = draw(st.lists(st.frozensets(st.sampled_from(units), min_size=1), min_size=1, max_size=3))
            rule["prototypes"] = [{"core": sorted(core), "weight": draw(weight)} for core in cores]
            rule["support"] = {code: draw(weight) for code in draw(st.frozensets(st.sampled_from(units)))}
            rest = sorted(set(CODES) - set(units))
            rule["against"] = {code: draw(weight) for code in draw(st.frozensets(st.sampled_from(rest), max_size=4))}
        else:
            rule["intercept"] = draw(st.floats(-4, 4))
            rule["weights"] = {code: draw(st.floats(-4, 4)) for code in table}
        content["rules"].append(rule)
    try:
        rules = RuleSet.model_validate(content, strict=False)
    except ValidationError:
        assume(False)
        raise
    assume(not list(soundness.of_set(rules)))
    return rules
