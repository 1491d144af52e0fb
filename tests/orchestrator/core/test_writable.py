"""An output folder that cannot be written to is found before any work starts."""

from __future__ import annotations

import pytest

from merrflow.core.errors import InputError
from merrflow.core.writable import check_writable


def test_a_folder_that_will_be_made_is_judged_by_the_one_it_will_be_in(tmp_path):
    check_writable(tmp_path / "a/b", "--out")
    assert not (tmp_path / "a").exists(), "nothing is made by looking"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_and_a_file_system_that_takes_nothing_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^--out .*file/x: .*file cannot be written to by user \d+ \(this is not"):
        check_writable(tmp_path / "file" / "x", "--out")
    with pytest.raises(InputError, match="^--out /proc/x: /proc cannot be written to by user"):
        check_writable(type(tmp_path)("/proc/x"), "--out")
