"""Prompt files."""

from __future__ import annotations

import pytest

from merrflow_minigpt_v2.engines.minigpt_v2 import prompts
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import published
from merrflow_serving.errors import NotReady

TEMPLATE = published().template


def load(
    prompt: str = "merr_words", decoding: str = "greedy", answer_tokens: int = 0, seed: int = 0
) -> prompts.PromptConfig:
    return prompts.load_prompt_config(prompt, decoding, answer_tokens=answer_tokens, seed=seed, template=TEMPLATE)


def test_published_words():
    assert load().prompt.text == "What do you see in the image? Please describe it using words only."
    assert load("merr_content").prompt.text == "Please describe the content of the image."
    assert load("grounding").prompt.text.startswith("[grounding] ")


def test_published_decoding():
    demo = load(decoding="demo").decoding
    assert (demo.temperature, demo.top_p, demo.top_k, demo.repetition_penalty) == (0.6, 0.9, 50, 1.05)
    greedy = load().decoding
    assert (greedy.temperature, greedy.repetition_penalty) == (0, 1)


@pytest.mark.parametrize("name", prompts.names())
def test_packaged_prompts_are_named_as_their_files_and_hold_no_marker(name):
    prompt = load(name).prompt
    assert prompt.name == name
    assert not any(marker in prompt.text for marker in TEMPLATE.markers)


def test_whatever_changes_an_answer_changes_the_stamp(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("{name: merr_words, version: '1', text: Else, answer_tokens: 256}")
    variants = [
        load(),
        load("merr_content"),
        load(str(own)),
        load(decoding="demo"),
        load(decoding="demo", seed=1),
        load(answer_tokens=7),
    ]
    assert len({one.stamp for one in variants}) == len(variants)
    assert load(seed=1).stamp == load().stamp  # greedy draws nothing
    assert load(answer_tokens=256).stamp == load().stamp
    assert load().stamp.startswith("merr_words 1, greedy 1+")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: x", "version"),
        ("{name: x, version: '1', text: '', answer_tokens: 5}", "text"),
        ("{name: x, version: '1', text: hi, answer_tokens: 0}", "answer_tokens"),
        ("{name: x, version: '1', text: hi, answer_tokens: 5, temprature: 1}", "temprature"),
        ("[", "valid"),
        ("version: 2026-99-99", "valid"),  # a date that is none
        ("[" * 5000, "valid"),
    ],
)
def test_a_bad_file_is_told(tmp_path, content, told):
    file = tmp_path / "own.yaml"
    file.write_text(content)
    with pytest.raises(NotReady, match=told) as caught:
        load(str(file))
    assert "own.yaml" in str(caught.value)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(NotReady, match="grounding, merr_content, merr_words"):
        load("merr")
