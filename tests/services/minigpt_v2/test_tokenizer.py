"""Text to ids and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from merrflow_minigpt_v2.engines.minigpt_v2.tokenizer import Tokenizer, break_markers
from merrflow_serving.errors import NotReady
from tests.services.minigpt_v2 import reference
from tests.services.minigpt_v2.tiny import SHAPE, TOKENIZER

MARKERS = SHAPE.template.markers


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(TOKENIZER, SHAPE.template)


@pytest.fixture(scope="module")
def pieces():
    return SentencePieceProcessor(model_file=str(TOKENIZER))


def spelled(pieces: SentencePieceProcessor, ids) -> str:
    return "".join(pieces.id_to_piece(one) for one in ids)


def test_two_starts_and_a_dummy_space_before_each_segment(tokenizer, pieces):
    ids = tokenizer.prompt(reference.TEXT)
    assert (list(ids.before), list(ids.after)) == reference.prompt_ids(reference.TEXT)
    assert ids.before[:3] == (1, 1, pieces.piece_to_id("▁["))
    assert spelled(pieces, ids.before) == "<s><s>▁[INST]▁<Img>"
    assert spelled(pieces, ids.after) == f"▁</Img>▁{reference.TEXT.replace(' ', '▁')}▁[/INST]"


@pytest.mark.parametrize("tag", ["vqa", "caption", "grounding", "refer", "detection", "identify"])
def test_task_tags_go_through(tokenizer, pieces, tag):
    assert f"▁</Img>▁[{tag}]▁where?▁[/INST]" == spelled(pieces, tokenizer.prompt(f"[{tag}] where?").after)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_in_a_text_stays_text(tokenizer, pieces, marker):
    ids = tokenizer.prompt(f"say {marker} now")
    assert not {1, 2} & set(ids.after)
    written = pieces.decode(list(ids.after))
    own = {"[/INST]": 1, "</Img>": 1}.get(marker, 0)  # the template's
    assert written.count(marker) == own
    assert f"{marker[0]} {marker[1:]}" in written


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*MARKERS, "[", "]", "<", ">", "/", "INST", "Img", "s", " ", "a", "\n", "é"]), max_size=8)
)
def test_no_text_holds_a_marker_afterwards(parts):
    broken = break_markers("".join(parts), MARKERS)
    assert not any(marker in broken for marker in MARKERS)
    assert broken.replace(" ", "") == "".join(parts).replace(" ", "")  # only spaces are added
    if not any(marker in "".join(parts) for marker in MARKERS):
        assert broken == "".join(parts)


def test_white_space_of_an_instruction_is_kept(tokenizer, pieces):
    text = "Look at\n  the  face.\n\n- mouth\t- eyes "
    ids = tokenizer.prompt(text)
    assert (
        list(ids.after)
        == pieces.encode(f"</Img> {text} [/INST]")
        != list(tokenizer.prompt(" ".join(text.split())).after)
    )


def test_words_up_to_the_stop_on_one_line(tokenizer, pieces):
    ids = pieces.encode("a person\n smiles")
    assert tokenizer.text([1, *ids, 2, *ids]) == "a person smiles"
    assert tokenizer.text([5000, *ids]) == "a person smiles"  # an id that only a padded embedding table has
    assert tokenizer.text([2]) == "" and tokenizer.text([]) == ""


def test_a_file_that_is_no_tokenizer(tmp_path):
    broken = tmp_path / "tokenizer.model"
    for content in (b"", b"version https://git-lfs.github.com/spec/v1\n"):
        broken.write_bytes(content)
        with pytest.raises(NotReady, match=r"tokenizer\.model"):
            Tokenizer(broken, SHAPE.template)
    with pytest.raises(NotReady, match=r"nowhere\.model"):
        Tokenizer(tmp_path / "nowhere.model", SHAPE.template)
