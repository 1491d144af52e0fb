"""Qwen-Audio's tokenizer: ids as published, text that stays text."""

from __future__ import annotations

import pytest

pytest.importorskip("tiktoken")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from merrflow_qwen_audio.engines.qwen_audio.special_tokens import SPECIAL_TOKENS  # noqa: E402
from merrflow_qwen_audio.engines.qwen_audio.tokenizer import QwenTokenizer  # noqa: E402
from tests.services.qwen_audio import qwen_checkpoints as checkpoints  # noqa: E402

PUBLISHED_VOCABULARY = 151_643  # entries of qwen.tiktoken


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    checkpoints.write_tokens(folder)
    return QwenTokenizer(folder / "qwen.tiktoken")


@pytest.mark.parametrize(
    ("token", "published"),
    [
        ("<|endoftext|>", 151_643),
        ("<|im_start|>", 151_644),
        ("<|im_end|>", 151_645),
        ("[[[AUDIO:modality]]]", 151_851),
        ("<|startoftranscript|>", 151_852),
        ("<|startofanalysis|>", 151_853),
        ("<audio>", 155_163),
        ("</audio>", 155_164),
    ],
)
def test_special_tokens_have_the_published_ids(tokenizer, token, published):
    offset = published - PUBLISHED_VOCABULARY
    assert SPECIAL_TOKENS.index(token) == offset
    assert tokenizer.special[token] == len(checkpoints.tokens()) + offset


def test_no_special_token_is_there_twice():
    assert len(set(SPECIAL_TOKENS)) == len(SPECIAL_TOKENS) == 3_522


def test_pairs_are_merged_in_the_order_of_their_ranks(tokenizer):
    rank = {token: number for number, token in enumerate(checkpoints.tokens())}
    assert tokenizer.encode("the tone") == [ord("t"), rank[b"he"], rank[b" tone"]]
    assert tokenizer.encode("joyful") == [rank[b"joyful"]]


def test_composed_and_decomposed_letters_are_one(tokenizer):
    assert tokenizer.encode("e\u0301") == tokenizer.encode("é")


@given(st.lists(st.sampled_from(SPECIAL_TOKENS) | st.text(max_size=8), max_size=6))
def test_whatever_text_holds_it_becomes_ordinary_tokens_and_comes_back(tokenizer, parts):
    import unicodedata

    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert all(number < len(checkpoints.tokens()) for number in ids)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_special_and_broken_tokens_in_an_answer(tokenizer):
    ids = [*tokenizer.encode("sad"), tokenizer.special["<|en|>"], 0xE2, 0x82]
    assert tokenizer.decode(ids) == "sad\ufffd"


def test_times_in_an_answer_are_kept(tokenizer):
    """As in the authors' example of grounding: 'starts at <|2.33|> seconds and ends at <|30.00|> seconds'."""
    named = [tokenizer.special[token] for token in ("<|transcribe|>", "<|2.33|>", "<|30.00|>", "<|timestamps|>")]
    ids = [*tokenizer.encode("at "), *named[:2], *tokenizer.encode(" s to "), *named[2:]]
    assert tokenizer.decode(ids) == "at <|2.33|> s to <|30.00|>"
