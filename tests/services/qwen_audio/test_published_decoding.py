"""Words drawn as the model's authors published it: by the generation_config.json of the weights, and the same again."""

from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from transformers import RepetitionPenaltyLogitsProcessor  # noqa: E402

from merrflow_qwen_audio import SPEC, ToneItem  # noqa: E402
from merrflow_serving.errors import NotReady  # noqa: E402
from merrflow_serving.torch.decoding import Decoding  # noqa: E402
from merrflow_serving.torch.sampling import choosing  # noqa: E402
from tests.services.qwen_audio import qwen_checkpoints as checkpoints  # noqa: E402
from tests.services.qwen_audio.synthetic_speech import spoken_vowels  # noqa: E402

torch.set_num_threads(1)
# Of Qwen-Audio-Chat. Top-p is wider here: the tiny model's words are all about as likely.
PUBLISHED = {
    "chat_format": "chatml", "eos_token_id": 151643, "pad_token_id": 151643, "max_window_size": 6144,
    "max_new_tokens": 512, "do_sample": True, "top_k": 0, "top_p": 0.5, "transformers_version": "4.31.0",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = checkpoints.write(tmp_path_factory.mktemp("tiny"), checkpoints.weights())
    (folder / "generation_config.json").write_text(json.dumps(PUBLISHED))
    return folder


def made(folder, tmp_path, **settings):
    settings = {"engine": "qwen_audio", "decoding": "published", "answer_tokens": 8} | settings
    return SPEC.make_engine(SPEC.settings(weights=str(folder), device="cpu", models_dir=tmp_path, **settings))


def texts(engine, *sounds) -> list[str]:
    return [tone.text for tone in engine.run([ToneItem(sound) for sound in sounds])]


def test_the_same_recording_gets_the_same_words_in_any_batch_and_run(folder, tmp_path):
    sounds = [spoken_vowels(seconds, f0=100 + 10 * seconds) for seconds in (1.0, 2.2, 1.4)]
    first, again = made(folder, tmp_path), made(folder, tmp_path)
    other, greedy = made(folder, tmp_path, seed=1), made(folder, tmp_path, decoding="greedy")
    for engine in (first, again, other, greedy):
        engine.load()
    drawn = texts(first, *sounds)
    assert [texts(again, sound)[0] for sound in sounds[::-1]] == drawn[::-1]
    assert texts(other, *sounds) != drawn != texts(greedy, *sounds)
    for engine in (first, again, other, greedy):
        engine.close()


def test_records_and_cache_keys_say_how_words_were_drawn(folder, tmp_path):
    info = made(folder, tmp_path).info()
    assert ", published, " in info.prompt_version
    assert "drawn as published (temperature 1, top_p 0.5, top_k 0, repetition penalty 1, seed 0)" in info.note
    greedy = made(folder, tmp_path, decoding="greedy").info()
    assert "decoded greedily" in greedy.note and "published" not in greedy.prompt_version
    narrow = shutil.copytree(folder, tmp_path / "narrow")
    (narrow / "generation_config.json").write_text(json.dumps(PUBLISHED | {"top_p": 0.1}))
    versions = {one.info().prompt_version for one in (made(narrow, tmp_path), made(folder, tmp_path, seed=7))}
    assert len(versions | {info.prompt_version, greedy.prompt_version}) == 4


def test_answers_may_be_as_long_as_published(folder, tmp_path):
    engine = made(folder, tmp_path, answer_tokens=0)
    assert engine._words(engine._prompt()).answer_tokens == 512
    assert made(folder, tmp_path, answer_tokens=0, decoding="greedy")._words(engine._prompt()).answer_tokens == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            r"generation_config\.json, by which `published` draws, cannot be read .*; get it with the weights, or set",
        ),
        ("[1", r"is wrong: it is no JSON object: .*DECODING=greedy$"),
        ('{"do_sample": true, "top_p": 2}', r"is wrong: top_p: .*less than or equal to 1; get it"),
    ],
)
def test_without_the_file_it_does_not_guess(folder, tmp_path, content, message):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "generation_config.json").unlink()
    if content is not None:
        (other / "generation_config.json").write_text(content)
    engine = made(other, tmp_path)
    assert engine.info().prompt_version == ""
    with pytest.raises(NotReady, match=message) as caught:
        engine.load()
    assert "\n" not in str(caught.value)


def test_a_penalty_counts_the_prompts_tokens_as_the_authors_code_does():
    """transformers is given embeddings here, and would count those of the answer alone."""
    how = Decoding(temperature=0, top_p=1, repetition_penalty=1.3)
    prompts, written = [(1, 2, 3), (4,)], torch.tensor([[5], [1]])
    scores = torch.linspace(-2, 2, 12).reshape(2, 6)
    (found,) = (processor(written, scores) for processor in choosing(how, [0, 0], prompts))
    plain = RepetitionPenaltyLogitsProcessor(1.3)
    rows = [torch.tensor([[*prompt, *more]]) for prompt, more in zip(prompts, written.tolist(), strict=True)]
    expected = [plain(row, scores[place : place + 1]) for place, row in enumerate(rows)]
    torch.testing.assert_close(found, torch.cat(expected))
