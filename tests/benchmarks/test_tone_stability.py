"""The script runs, and the sentences of the project's own clips hold."""

from __future__ import annotations

import json

from benchmarks import tone_stability
from tests.paths import ROOT


def test_silence_in_front_changes_no_sentence(capsys):
    tone_stability.main([str(ROOT / "examples/clips/good_news.mp4")])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["silence in front"] == {"same": 6, "of": 6}
    assert set(found) == {"silence in front", "volume", "AAC 128 kb/s", "Opus 128 kb/s"}
