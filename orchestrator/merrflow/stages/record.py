"""The record: what all stages found out about a clip, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from merrflow.core.measurements import Clip
from merrflow.core.paths import path_text
from merrflow.core.records import Outcome, Record
from merrflow.core.spoken import Translation
from merrflow.stages.coarse_template import load_template
from merrflow.stages.graph import Graph
from merrflow.stages.stage import Result, Run
from merrflow.stages.testimony import testimonies


def assemble(clip: Clip, run: Run, graph: Graph, found: Mapping[str, Result[Any]]) -> tuple[Record, Outcome, str]:
    """The record, how the clip came out, and why if that is not `DONE`. found: the results of the picture and of every
    stage of the graph that is not lazy."""
    results = {name: result for name, result in found.items() if not graph[name].witness}
    value = {name: result.value for name, result in results.items()}
    reasoning = results["reasoning"]
    record = Record(
        name=clip.name,
        path=path_text(clip.path),
        sha256=clip.sha256,
        probe=value["probe"],
        subject=value["subject"],
        peak=value["peak"],
        label=replace(value["label"], standing=value["standing"]),
        subtitle=value["words"],
        scene=value["scene"],
        tone=value["tone"],
        coarse=value["coarse"],
        coarse_template=load_template().version,
        reasoning=reasoning.value,
        origins={name: result.origin for name, result in results.items() if result.origin},
        seconds={name: result.seconds for name, result in results.items() if result.seconds is not None},
        missing=_missing(results),
        curves=value["curves"],
        measurable=value["measurable"],
        grounding=value["grounding"],
        distribution=value["label_scores"],
        transcript=value.get("transcript"),
        translation=_translation(value.get("subtitle_en")),
        shown=value["peak_frame"].shown,
        witnesses=testimonies(run, graph, found),
    )
    if reasoning.value is None:
        return record, Outcome.FAILED, f"no fine-grained text: {reasoning.reason}"
    return record, reasoning.outcome, reasoning.reason


def _translation(found: Translation | None) -> Translation | None:
    return found if found and found.text else None  # why there is none is in `missing`


def _missing(results: Mapping[str, Result[Any]]) -> dict[str, str]:
    """Why the record is without a clue, or with one that is not whole."""
    said = results["words"].value
    without = {"subtitle": said.reason} if said.text is None else {}
    return without | {name: result.reason for name, result in results.items() if result.reason}
