"""Keys of records: what must change them does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from merrflow.core.measurements import Clip
from merrflow.core.settings import RunSettings
from merrflow.facs import load_rules
from merrflow.pipeline.cache_keys import CacheKeys
from merrflow.stages.graph import GRAPH, Graph
from merrflow.stages.witnesses.rules import Witnesses, load_witnesses


def key(graph: Graph, tmp_path: Path, witnesses: Witnesses | None = None) -> str:
    rules, settings = load_rules("default"), RunSettings()
    keys = CacheKeys(graph, {}, {}, settings, rules, rules.phrases(), witnesses or load_witnesses(), "ocr")
    return keys.of_record(Clip("clip", tmp_path / "clip.mp4", "ab" * 32, None, None))


def test_each_stage_that_is_raised_to_another_version_gives_another_key(tmp_path):
    graphs = [GRAPH.with_stages(replace(stage, version="next")) for stage in GRAPH]
    assert len({key(graph, tmp_path) for graph in (GRAPH, *graphs)}) == len(graphs) + 1


def test_other_witnesses_give_another_key(tmp_path):
    other = load_witnesses().model_copy(update={"confirm": 1.1})
    assert key(GRAPH, tmp_path, other) != key(GRAPH, tmp_path)
    assert key(GRAPH, tmp_path, load_witnesses()) == key(GRAPH, tmp_path)
