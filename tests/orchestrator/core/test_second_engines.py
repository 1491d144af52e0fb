"""How the setting `witness` is read."""

from __future__ import annotations

import pytest

from merrflow.core.errors import InputError
from merrflow.core.second_engines import SecondEngine, second_engines
from merrflow.core.settings_file import load_settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("qwen-audio=openai", (("qwen-audio", "openai", ""),)),
        (
            "qwen-audio=qwen2_audio,host:50063; whisper=[::1]:50065",
            (
                ("qwen-audio", "qwen2_audio", ""),
                ("qwen-audio", "host:50063", "host:50063"),
                ("whisper", "[::1]:50065", "[::1]:50065"),
            ),
        ),
    ],
)
def test_roles_engines_and_addresses(text, expected):
    assert tuple((one.role, one.what, one.address) for one in second_engines(text)) == expected


def test_a_list_in_a_file_and_a_variable_say_the_same(tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text("witness: [qwen-audio=openai, llama3=transformers]\n")
    expected = (SecondEngine("qwen-audio", "openai"), SecondEngine("llama3", "transformers"))
    assert load_settings(file).second_engines == expected
    monkeypatch.setenv("MERRFLOW_WITNESS", "qwen-audio=openai llama3=transformers")
    assert load_settings().second_engines == expected


@pytest.mark.parametrize("judge", ["llama3", "sure"])
def test_a_judge_is_rules_a_model_or_an_address(judge):
    with pytest.raises(InputError, match="^witness_judge: is not rules, model or HOST:PORT$"):
        load_settings(witness_judge=judge)
    assert load_settings(witness_judge="localhost:50054").witness_judge
