"""The benchmark of speech recognition: how errors are counted."""

from __future__ import annotations

import json

import pytest

from benchmarks import speech
from benchmarks.support.clip_files import RESEARCH
from tests.services.whisper.conftest import models  # noqa: F401 - a fixture


def test_errors_are_counted_in_characters_without_punctuation_and_script() -> None:
    assert speech.characters("你們，這麼 看Me？") == "你们这么看me"
    assert [speech.edits(*pair) for pair in [("abc", "abc"), ("abc", ""), ("abc", "xabd"), ("", "ab")]] == [0, 3, 2, 2]
    assert speech.rate([("abcd", "abcd"), ("ab", "")]) == pytest.approx(0.333)
    assert speech.rate([]) is None


@pytest.mark.slow
@pytest.mark.skipif(not RESEARCH.exists(), reason="the research clips are not here")
def test_the_clips(models, tmp_path, monkeypatch, capsys) -> None:  # noqa: F811
    (tmp_path / "clip.mp4").symlink_to(RESEARCH / "sample_00004671.mp4")
    monkeypatch.setenv("MERRFLOW_WHISPER_MODELS_DIR", str(models))
    speech.main(["--clips", str(tmp_path)])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["clips"] == found["believed"] == 1 and found["error_rate"] < 0.4
