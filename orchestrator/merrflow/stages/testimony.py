"""Second engines (witnesses): each answers what the main engine of its role is asked, stage by stage.

A witness's stage is the main engine's stage with another engine behind it: the same question, version, check and code,
and an answer that the ledger keeps under the same name, so that engines may change places and nothing is asked again.
No other stage builds on it, and whatever is wrong with it costs no record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from pydantic import TypeAdapter

from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.records import Outcome, Testimony
from merrflow.core.second_engines import SecondEngine
from merrflow.stages.agreement import Measured, agreement, at_peak
from merrflow.stages.graph import Graph
from merrflow.stages.stage import Missing, Result, Run, Stage, Work
from merrflow.stages.text_agreement import TEXTS, compared, comparison

_ANY = TypeAdapter(Any)


def with_witnesses(graph: Graph, engines: Iterable[SecondEngine], judge: str | None = None) -> Graph:
    """The graph in which these answer too. judge: the service that compares their texts; None if it needs none."""
    asked = [stage for stage in graph if stage.service]
    answering = [_witness_stage(stage, one.name) for one in engines for stage in asked if stage.service == one.role]
    comparing = [comparison(stage, judge) for stage in answering if stage.repeats in TEXTS]
    return graph.with_stages(*answering, *comparing)


def _witness_stage(stage: Stage[Any], witness: str) -> Stage[Any]:
    def heard(work: Work) -> Work:
        return replace(work, run=work.run.heard_by(witness))

    async def compute(work: Work, *needs: Any) -> Any:
        value = stage.compute(heard(work), *needs)
        return await value if isawaitable(value) else value

    def without(work: Work, *needs: Any) -> Missing | None:
        return stage.without(heard(work), *needs) if stage.without else None

    return replace(
        stage,
        name=f"{stage.name}@{witness}",
        compute=compute,
        key=lambda work, *needs: stage.key(heard(work), *needs),
        without=without,
        service=witness,  # which it waits for in GPU phases
        repeats=stage.name,
        witness=witness,
        optional=True,
    )


def testimonies(run: Run, graph: Graph, results: Mapping[str, Result[Any]]) -> dict[str, tuple[Testimony, ...]]:
    """By stage, what witnesses answered, or why they did not. results: of every stage that is not lazy."""
    main = {name: result.value for name, result in results.items()}
    found: defaultdict[str, list[Testimony]] = defaultdict(list)
    for stage in graph:
        if stage.repeats and (one := _testimony(run, stage, main, results)):
            found[stage.repeats].append(one)
    return {name: tuple(of_stage) for name, of_stage in found.items()}


def _testimony(
    run: Run, stage: Stage[Any], main: Mapping[str, Any], results: Mapping[str, Result[Any]]
) -> Testimony | None:
    """None if the clip has nothing that could be asked."""
    result, judged = results[stage.name], results.get(compared(stage.name))
    if result.value is None and result.outcome is not Outcome.FAILED:
        return None
    measured, unmeasured = _agreement(stage, main, result, judged)
    known = run.second[stage.witness].identity
    return Testimony(
        witness=stage.witness,
        engine=known.get("engine", ""),
        model=known.get("model", ""),
        origin=result.origin,
        answer=_answer(result.value, main),
        outcome=result.outcome,
        reason=result.reason,
        again=result.again or bool(judged and judged.again),
        agreement=measured,
        unmeasured=unmeasured,
    )


def _agreement(stage: Stage[Any], main: Mapping[str, Any], result: Result[Any], judged: Result[Any] | None) -> Measured:
    if result.value is None:
        return {}, "it gave no answer"
    if judged and judged.value:
        compared: Measured = judged.value.measured
        return compared
    if judged and judged.outcome is Outcome.FAILED:
        return {}, f"the judge gave no answer: {judged.reason}"
    return agreement(stage.repeats, main, result.value)


def _answer(value: Any, main: Mapping[str, Any]) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, ActionUnitSeries):  # every frame is far more than a record should hold
        return at_peak(value, main["peak"])
    plain: dict[str, Any] = _ANY.dump_python(value, mode="json")
    return plain
