"""Chat templates: the packaged model's own, and peculiarities of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merrflow_llama3 import gguf_files
from merrflow_llama3.chat import ChatFormat, ChatTemplate, Message

TALK = [Message("system", "S"), Message("user", "U")]


@pytest.fixture(scope="module")
def header():
    return gguf_files.header(gguf_files.locate(None))


def test_packaged_template(header):
    assert ChatTemplate(header).render(TALK) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )


def test_without_a_system_role_its_text_goes_to_the_user(header):
    source = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    )
    assert ChatTemplate(replace(header, chat_template=source)).render(TALK) == "<user>S\n\nU"


def test_bos_is_written_once(header):
    other = replace(header, chat_template="{{ bos_token }}{{ messages[1].content }}", bos_token="<s>", adds_bos=True)
    assert ChatTemplate(other).render(TALK) == "U"
    assert ChatTemplate(replace(other, adds_bos=False)).render(TALK) == "<s>U"


@pytest.mark.parametrize("source", ["", "{% for %}", "{{ raise_exception('never') }}", "{{ ''.__class__.__mro__ }}"])
def test_templates_that_cannot_be_used(header, source):
    with pytest.raises(ValueError):
        ChatTemplate(replace(header, chat_template=source)).render(TALK)


def test_the_end_of_a_turn_is_the_templates_not_the_eos_token():
    source = "{% for m in messages %}<|start|>{{ m.content }}<|eot_id|>{% endfor %}"
    chat = ChatFormat(source, ("<|start|>", "<|eot_id|>", "<|end_of_text|>"), "", "<|end_of_text|>", False)
    assert ChatTemplate(chat).turn_end() == "<|eot_id|>"
