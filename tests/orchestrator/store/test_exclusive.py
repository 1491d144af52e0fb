"""An output folder for one run alone, without what killed writers left."""

from __future__ import annotations

from merrflow.store.exclusive import exclusive
from tests.orchestrator.core.test_atomic_files import writer_of


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_stays(tmp_path):
    (tmp_path / "peaks").mkdir()
    left = tmp_path / "peaks/.a.jpg.1.part"
    left.write_bytes(b"half")
    with writer_of(tmp_path / "peaks/b.jpg"):
        with exclusive(tmp_path):
            assert not left.exists()
            assert len(list((tmp_path / "peaks").glob(".b.jpg.*.part"))) == 1
