"""The graph of stages: what it refuses, and what follows from it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from merrflow.core.measurements import Clip
from merrflow.core.records import Record
from merrflow.formats.precomputed import PrecomputedPeaks
from merrflow.stages import picture
from merrflow.stages.graph import GRAPH, Graph, GraphError, graph_for
from merrflow.stages.stage import Missing, Stage
from merrflow_serving.catalog import NEEDED, SERVICES
from tests.paths import ROOT


def stage(name: str, *needs: str, **more: Any) -> Stage[Any]:
    return Stage(name, "a test", lambda work, *values: None, needs=needs, **more)


@pytest.mark.parametrize(
    "stages, message",
    [
        (
            (stage("a", "b"), stage("b", "c"), stage("c", "a")),
            "the stages a -> c -> b -> a need each other in a circle",
        ),
        ((stage("a"), stage("b", "ghost")), "the stage 'b' needs 'ghost', which is not a stage"),
        ((stage("a"), stage("b", after=("ghost",))), "the stage 'b' needs 'ghost', which is not a stage"),
        ((stage("a"), stage("a")), "two stages are called 'a'"),
        ((stage("a", "a"),), "need each other in a circle"),
        ((stage("a"), stage("b", after="a")), "the stage 'b' has after='a'; a tuple of names is wanted"),
        ((stage("a"), stage("b", uses=["a"])), "the stage 'b' has uses=['a']; a tuple of names is wanted"),
        (
            (stage("a", lazy=True), stage("b", "a")),
            "the stage 'b' needs the lazy stage 'a': name it in `uses`",
        ),
        (
            (stage("a"), stage("b", "a", lazy=True), stage("c", uses=("b",))),
            "the stage 'c' uses 'b', which needs 'a': name that in `needs` too",
        ),
    ],
)
def test_what_is_no_graph_is_refused_by_the_name_of_the_culprit(stages, message):
    with pytest.raises(GraphError) as error:
        Graph(stages)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(message)
    assert all(one.name in str(error.value) for one in stages if "circle" in message)


def test_stages_come_after_what_they_build_on_whatever_order_they_are_listed_in():
    graph = Graph(reversed(list(GRAPH)))
    seen: set[str] = set()
    for one in graph:
        assert {*one.needs, *one.after, *one.uses} <= seen
        seen.add(one.name)
    assert seen == {one.name for one in GRAPH}


def test_services_follow_from_the_stages():
    assert GRAPH.services == NEEDED
    assert set(graph_for(speech=True).services) == set(SERVICES)
    assert GRAPH.services_after("openface-au") == {"minigpt-v2", "qwen-audio", "llama3"}
    assert GRAPH.services_after("minigpt-v2") == GRAPH.services_after("qwen-audio") == {"llama3"}
    assert GRAPH.services_after("llama3") == frozenset()


def test_a_stage_that_is_kept_says_what_it_depends_on():
    for one in GRAPH:
        assert one.purpose
        assert not (one.service and not one.is_cached), f"{one.name}: a service's answer must be kept"
        assert not (one.optional and not one.is_cached), f"{one.name}: only cached stages are optional"
        assert not (one.lazy and one.is_cached)


def test_the_record_holds_every_stage_or_what_is_made_of_it():
    in_record = {field.name for field in fields(Record)}
    renamed = {"label_scores": "distribution", "rules_label": "label", "clues": "reasoning", "words": "subtitle"}
    renamed |= {"subtitle_en": "translation", "standing": "label", "candidates": "shown"}
    for one in graph_for(speech=True, translate=True):
        name = "label_scores" if one.name.startswith("score_") else one.name
        name = "origins" if name == "action_units" else name  # a megabyte: the record has curves instead
        assert one.lazy or renamed.get(name, name) in in_record


def test_labels_from_the_model_need_its_scores():
    assert "label_scores" not in graph_for("rules")["label"].needs
    assert "label_scores" in graph_for("model")["label"].needs
    assert graph_for("model").settings == graph_for("rules").settings


def test_precomputed_peaks_leave_no_work_for_the_service(tmp_path: Path):
    (tmp_path / "merr.json").write_text('{"a": {"peak_index": "3", "peak_AU_list": ["AU12"]}}')
    graph = graph_for("rules", PrecomputedPeaks(tmp_path / "merr.json"))
    assert "openface-au" not in graph.services
    assert {one.name for one in graph} == {one.name for one in GRAPH}


def test_a_stage_of_ones_own_takes_its_place():
    ears = stage("ears", "probe", optional=True, without=lambda work, probe: Missing("no ears"))
    graph = Graph([*GRAPH, ears])
    assert graph["ears"] is ears and "ears" in graph.depend_on("probe")
    assert graph.with_stages(replace(ears, needs=()))["ears"].needs == ()


async def test_a_stage_may_use_only_what_it_declares():
    from merrflow.pipeline.clip_file import ClipFile
    from merrflow.pipeline.clip_run import ClipRun
    from tests.orchestrator.pipeline.test_clip_run import NoCache

    async def compute(work):
        return await work.use("secret")

    graph = Graph([stage("secret", lazy=True), Stage("greedy", "a test", compute)])
    file = ClipFile(Clip("a", Path("a.mp4"), ""), asyncio.to_thread)
    run = ClipRun(graph, None, NoCache(), file, frozenset())
    with pytest.raises(KeyError, match="'greedy' uses 'secret' without saying so"):
        await run.record()


def test_the_picture_in_the_docs_is_that_of_the_graph():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert picture.renewed(text) == text, "run `make generated`"


def test_the_command_names_the_culprit_in_one_line(tmp_path: Path) -> None:
    """The graph is made when it is imported, before any of the command's own code runs."""
    circle = "from dataclasses import replace\nfrom merrflow.stages import tone\nfrom merrflow.cli import main\n"
    circle += "tone.STAGE = replace(tone.STAGE, needs=('probe', 'grounding'))\nmain()"
    ended = subprocess.run(
        [sys.executable, "-c", circle, "status", "--out", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr == "merrflow: the stages tone -> grounding -> tone need each other in a circle\n"
