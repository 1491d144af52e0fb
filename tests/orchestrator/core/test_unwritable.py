"""Whether a place that cannot be written is a wrong argument or the system's fault."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from merrflow.core.errors import InputError, OutputsGone, unwritable


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, OutputsGone),
        (errno.EDQUOT, OutputsGone),
        (errno.EFBIG, OutputsGone),
        (errno.EIO, OutputsGone),
        (errno.ESTALE, OutputsGone),
        (errno.EACCES, InputError),
        (errno.EISDIR, InputError),
        (errno.EROFS, InputError),
    ],
)
def test_only_the_place_is_the_arguments_fault(number, kind):
    error = unwritable(Path("out/a.csv"), OSError(number, os.strerror(number)), "make room")
    assert type(error) is kind
    assert str(error) == f"out/a.csv: cannot be written ({os.strerror(number)}); make room"
