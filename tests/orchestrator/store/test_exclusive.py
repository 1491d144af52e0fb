"""An output folder for one run alone, without what killed writers left."""

from __future__ import annotations

import os
import time

from merrflow.store.exclusive import exclusive


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_stays(tmp_path):
    (tmp_path / "peaks").mkdir()
    old, young = tmp_path / "peaks/.a.jpg.1.part", tmp_path / "peaks/.b.jpg.2.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    with exclusive(tmp_path):
        assert (old.exists(), young.exists()) == (False, True)
