"""Names of machines in a service's settings, and what is said about those that nobody could look up."""

from __future__ import annotations

import pytest

from merrflow_serving.__main__ import main


@pytest.mark.parametrize("host", ["a..b", " ", "ü..x", "l" * 300, "a\nb", "a\tb", "\udcff"])
@pytest.mark.parametrize("setting", ["HOST", "METRICS_HOST"])
def test_a_name_that_cannot_be_looked_up_is_refused_in_one_line(
    setting: str, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"MERRFLOW_QWEN_AUDIO_{setting}", host)
    assert main(["qwen-audio", "--port", "0", "--stop-with-stdin"]) == 2
    said = capsys.readouterr().err
    assert said == f"merrflow-serve: setting MERRFLOW_QWEN_AUDIO_{setting}: this is no name or address of a machine\n"
