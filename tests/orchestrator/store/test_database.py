"""Each dataset has a ledger of its own, wherever it is."""

from __future__ import annotations

import shutil

import pytest

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.store import Ledger, existing_ledger
from merrflow.store.database import SCHEMA_FILE, locate_ledger


def test_datasets_in_one_database_do_not_see_each_other(tmp_path, ledger_url):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (Ledger.in_folder(tmp_path / name, ledger_url) for name in ("one", "two"))
    clip = tmp_path / "clip.mp4"
    one.register([Found(clip)], {clip: "clip"})
    assert (set(one.names()), set(two.names())) == ({"clip"}, set())
    assert set(Ledger.in_folder(tmp_path / "one", ledger_url).names()) == {"clip"}


def test_a_moved_folder_keeps_its_ledger(tmp_path, ledger_url):
    (tmp_path / "old").mkdir()
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    ledger = Ledger.in_folder(tmp_path / "old", ledger_url)
    ledger.register([Found(clip)], {clip: "clip"})
    ledger.close()
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert set(Ledger.in_folder(tmp_path / "new", ledger_url).names()) == {"clip"}


def test_a_folder_without_a_run_has_no_ledger_and_gets_none(tmp_path, ledger_url, monkeypatch):
    if ledger_url:
        monkeypatch.setenv("MERRFLOW_LEDGER_URL", ledger_url)
    with pytest.raises(InputError, match="no run"):
        existing_ledger(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "public; DROP SCHEMA public"}', '{"schema": "x", "more": 1}'])
def test_a_schema_file_that_is_not_one_is_named(tmp_path, text):
    (tmp_path / SCHEMA_FILE).write_text(text)
    with pytest.raises(InputError, match=SCHEMA_FILE):
        locate_ledger(tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")
