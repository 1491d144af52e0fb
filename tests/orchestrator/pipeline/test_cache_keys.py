"""Keys of records: what must change them does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from merrflow.core.records import Clip
from merrflow.core.settings import RunSettings
from merrflow.facs import load_rules
from merrflow.pipeline.cache_keys import CacheKeys
from merrflow.stages.graph import GRAPH, Graph


def key(graph: Graph, tmp_path: Path) -> str:
    rules, settings = load_rules("default"), RunSettings()
    keys = CacheKeys(graph, {}, {}, settings, rules, rules.phrases(), "ocr")
    return keys.of_record(Clip("clip", tmp_path / "clip.mp4", "ab" * 32, None, None))


def test_each_stage_that_is_raised_to_another_version_gives_another_key(tmp_path):
    graphs = [GRAPH.with_stages(replace(stage, version="next")) for stage in GRAPH]
    assert len({key(graph, tmp_path) for graph in (GRAPH, *graphs)}) == len(graphs) + 1
