"""The prompt files."""

from __future__ import annotations

import pytest

from merrflow_qwen_audio.engines.audio_language.prompt_file import load_prompt
from merrflow_qwen_audio.engines.qwen_audio.special_tokens import SPECIAL_TOKENS
from merrflow_serving.errors import NotReady


def test_the_authors_closed_list_word_for_word():
    assert load_prompt("tone_list").question == (
        "You are a voice emotion expert. Please analyze the input audio and determine the tone of the speaker in the "
        "video from the following options: [joyful, sad, shocked, fearful, angry, positive, negative, calm, doubtful, "
        "dismissive]."
    )


def test_every_option_stands_in_the_question_and_its_forms_are_its_own():
    prompt = load_prompt("tone_list")
    forms = [form for option, others in prompt.options.items() for form in (option, *others)]
    assert len(forms) == len(set(forms)) and len(prompt.options) == 10
    assert all(option in prompt.question for option in prompt.options)
    assert not set(forms) & {*prompt.denials, *prompt.contrasts}


def test_tags_are_special_tokens():
    assert set(load_prompt("emotion_keyword").tags) < set(SPECIAL_TOKENS)


def test_the_stamp_names_the_file_and_what_shapes_an_answer(tmp_path):
    prompt = load_prompt("tone_free")
    assert prompt.stamp(answer_tokens=5).startswith("tone_free@1+")
    assert prompt.stamp(answer_tokens=5) != prompt.stamp(answer_tokens=6)
    changed = tmp_path / "own.yaml"
    changed.write_text(
        "name: tone_free\nversion: '1'\nformat: chat\nquestion: How?\nanswer_tokens: 9\nsentence: '{answer}'\n"
        "windows: {words: {first: '{answer}', then: '{answer}'}, texts: {first: '{answer}', then: '{answer}'}}\n"
    )
    assert load_prompt(str(changed)).stamp() != prompt.stamp()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense: [", "not a YAML file"),
        ("- a list", "not a YAML file"),
        ("name: x", "version"),
        ("name: x\nversion: 1.5", "version"),
        (b"\xff\xfe\xfa", "not a YAML file"),
        ("version: 2026-99-99", "not a YAML file"),  # a date that is none
        ("[" * 5000, "not a YAML file"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, content, says):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(NotReady, match=says):
        load_prompt(str(path))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(NotReady, match="tone_list"):
        load_prompt("angry")
    with pytest.raises(NotReady, match="cannot be read"):
        load_prompt("/nowhere/prompt.yaml")
