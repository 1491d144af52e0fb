"""The list of filters and formats for help: as the classes say, and made again when they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow.core.plugins import EXPORTS, FILTERS
from merrflow.datasets import plugin_list
from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.registry import known_filters
from merrflow.datasets.export.registry import known_formats
from tests.plugins.installing import importable, plant


def test_it_is_what_the_classes_say() -> None:
    plugin_list.main(["--check"])
    known = known_filters()
    assert list(plugin_list.filters()) == [(name, known[name].type.about) for name in packaged().order]
    assert [name for name, _ in plugin_list.formats()] == list(known_formats())


def test_a_stale_one_is_found_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = plugin_list.FILE.read_bytes()
    monkeypatch.setattr(plugin_list, "FILE", tmp_path / "plugin_list.json")
    for stale in (None, current.replace(b"same bytes", b"same size")):
        if stale:
            plugin_list.FILE.write_bytes(stale)
        with pytest.raises(SystemExit, match="make generated"):
            plugin_list.main(["--check"])
    plugin_list.main([])
    assert plugin_list.FILE.read_bytes() == current


@pytest.mark.parametrize("code", ["", "raise RuntimeError('half installed')"])
def test_what_others_add_is_not_written_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    current = plugin_list.FILE.read_bytes()
    monkeypatch.setattr(plugin_list, "FILE", tmp_path / "plugin_list.json")
    for group, clash in ((EXPORTS, "merr"), (FILTERS, "quality")):  # one is new, one has the name of a built-in
        site = plant(tmp_path / group, "acme", group, {"odd": "acme:Odd", clash: "acme:Odd"}, code)
        with importable(site, "acme"):
            plugin_list.main([])
            plugin_list.main(["--check"])
    assert plugin_list.FILE.read_bytes() == current
