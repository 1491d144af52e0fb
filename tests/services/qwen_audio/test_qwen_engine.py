"""The engine around the model: what is asked, what is not, what fits, and what is said when it cannot."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from merrflow_qwen_audio import SPEC  # noqa: E402
from merrflow_qwen_audio.engines.audio_language import capacity, prompting  # noqa: E402
from merrflow_qwen_audio.engines.audio_language.prompt_file import load_prompt  # noqa: E402
from merrflow_qwen_audio.engines.audio_language.replies import Reply, merge_replies  # noqa: E402
from merrflow_qwen_audio.types import Content, Tone, ToneItem  # noqa: E402
from merrflow_serving.errors import EngineFault, InvalidInput, NotReady, TooLarge  # noqa: E402
from merrflow_serving.torch.device import BatchLimit  # noqa: E402
from tests.services.qwen_audio import qwen_checkpoints as checkpoints  # noqa: E402
from tests.services.qwen_audio import signals  # noqa: E402
from tests.services.qwen_audio.synthetic_speech import spoken_vowels  # noqa: E402

torch.set_num_threads(1)
RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoints.write(tmp_path_factory.mktemp("tiny"), checkpoints.weights())


def made(folder, tmp_path, **settings):
    settings = {"engine": "qwen_audio", "weights": str(folder), "device": "cpu", "answer_tokens": 6} | settings
    return SPEC.make_engine(SPEC.settings(models_dir=tmp_path, **settings))


@pytest.fixture(scope="module")
def engine(folder, tmp_path_factory):
    engine = made(folder, tmp_path_factory.mktemp("models"))
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def asked(monkeypatch):
    """The prompts that went to the model, batch by batch."""
    seen = []
    real = prompting.ask

    def spy(listener, prompts, limit, **limits):
        seen.append(list(prompts))
        return real(listener, prompts, limit, **limits)

    monkeypatch.setattr(prompting, "ask", spy)
    return seen


def described(engine, *sounds):
    return engine.run([ToneItem(sound) for sound in sounds])


def test_the_model_is_asked_about_speech_alone(engine, asked):
    spoken, silent, music, noise = described(
        engine, spoken_vowels(), np.zeros(RATE, np.float32), signals.chords(), signals.noise(1.0)
    )
    assert [len(prompts) for prompts in asked] == [1]
    assert spoken.content is Content.SPEECH and spoken.speech
    names = {one.name for one in spoken.measurements}
    assert {"pitch_median", "loudness", "tone_in_list"} <= names
    assert (silent.text, music.content, noise.content) == ("There is no sound.", Content.MUSIC, Content.NO_SPEECH)


def test_the_model_may_be_asked_about_any_sound(folder, tmp_path, asked):
    engine = made(folder, tmp_path, ask_about="sound")
    engine.load()
    described(engine, np.zeros(RATE, np.float32), signals.chords(), signals.noise(1.0))
    assert [len(prompts) for prompts in asked] == [2]
    assert engine.info().prompt_version != made(folder, tmp_path).info().prompt_version
    engine.close()


def test_odd_recordings(engine):
    nan = spoken_vowels().copy()
    nan[100:200] = np.nan
    nan[300] = np.inf
    empty, broken, short, stereo, spoken = described(
        engine, np.zeros(0, np.float32), nan, np.ones(3, np.float32), np.zeros((2, RATE), np.float32), spoken_vowels()
    )
    assert empty.content is Content.SILENCE
    assert isinstance(broken, Tone) and broken.content is Content.SPEECH
    assert isinstance(short, Tone)
    assert isinstance(stereo, InvalidInput)
    assert spoken == described(engine, spoken_vowels())[0]


def test_a_long_recording_is_heard_in_windows(engine, asked):
    """Utterances of about 3 s with pauses, 75 s in all: more windows, each of at most 30 s, one text."""
    piece = np.concatenate((spoken_vowels(3.0), np.zeros(2 * RATE, np.float32)))
    long = np.concatenate([piece] * 15)
    (tone,) = described(engine, long)
    (prompts,) = asked
    assert len(prompts) >= 3 and all(prompt.samples.size <= 30 * RATE for prompt in prompts)
    loaded = engine._loaded
    replies = [
        prompting.ask(loaded.model, [prompt], BatchLimit(1), answer_tokens=loaded.words.answer_tokens)[0]
        for prompt in prompts
    ]
    assert tone.text == merge_replies(replies, loaded.prompt).text
    assert tone.speech[-1].end > 60.0


def test_an_instruction_of_the_callers_own(engine, asked):
    items = [ToneItem(spoken_vowels(), "How loud?"), ToneItem(spoken_vowels(), " "), ToneItem(spoken_vowels())]
    own, blank, default = engine.run(items)
    assert blank == default and "tone_in_list" not in {one.name for one in own.measurements}
    questions = [prompt.question for prompt in asked[0]]
    assert questions[0] != questions[1] == questions[2]


def test_an_instruction_reaches_the_model_with_its_white_space(engine, asked):
    text = "  How\n\n\tloud  is it?\n"
    engine.run([ToneItem(spoken_vowels(), text)])
    model = engine._loaded.model
    assert asked[0][0].question == model.question(engine._loaded.prompt, text)
    start = model.tokenizer.encode(f"\n{text}")
    assert list(asked[0][0].question.after[: len(start)]) == start


def test_times_of_a_window_count_from_the_start_of_the_recording(engine, monkeypatch):
    """Each window's answer says 1.20 s; the second window begins later."""
    piece = np.concatenate((spoken_vowels(3.0), np.zeros(2 * RATE, np.float32)))
    monkeypatch.setattr(type(engine._loaded.model), "text", lambda model, ids: "from <|1.20|> on")
    (tone,) = described(engine, np.concatenate([piece] * 9))
    found = [float(time) for time in re.findall(r"<\|([\d.]+)\|>", tone.text)]
    assert found[0] == pytest.approx(1.2, abs=0.5) and found[-1] > 25


def test_an_instruction_that_is_too_long_is_refused_alone(engine):
    sound = spoken_vowels()
    long, many, fine = engine.run([ToneItem(sound, "x" * 2_001), ToneItem(sound, "字" * 1_000), ToneItem(sound)])
    assert isinstance(long, TooLarge) and "2000 characters" in str(long)
    assert isinstance(many, TooLarge) and "tokens" in str(many)
    assert fine == described(engine, sound)[0]


def test_the_batch_does_not_matter(engine):
    sounds = [spoken_vowels(seconds, f0=100 + 10 * seconds) for seconds in (1.0, 2.2, 8.0, 1.4)]
    alone = [described(engine, sound)[0] for sound in sounds]
    assert described(engine, *sounds) == alone
    assert described(engine, *sounds[::-1]) == alone[::-1]


def test_out_of_memory_makes_groups_smaller(engine, monkeypatch):
    sounds = [spoken_vowels(1.0 + 0.2 * number) for number in range(4)]
    expected = described(engine, *sounds)
    sizes = []
    real = prompting.decode

    def small(language, rows, **limits):
        sizes.append(len(rows))
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(language, rows, **limits)

    monkeypatch.setattr(prompting, "decode", small)
    monkeypatch.setattr(engine, "_loaded", replace(engine._loaded, limit=BatchLimit(4)))
    assert described(engine, *sounds) == expected
    assert sizes == [4, 2, 1, 1, 1, 1] and engine._loaded.limit.size == 1


def test_longer_prompts_than_planned_go_in_smaller_groups(engine, monkeypatch):
    listener = engine._loaded.model
    groups = []
    real = prompting.decode

    def spy(language, rows, **limits):
        groups.append([len(row) for row in rows])
        return real(language, rows, **limits)

    monkeypatch.setattr(prompting, "decode", spy)
    prompt = load_prompt("tone_list")
    questions = [listener.question(prompt, words) for words in ("", "how does it sound, and why? " * 6)]
    sound = spoken_vowels(1.0)
    prompts = [prompting.AudioPrompt(sound, one, len(one) + listener.span(sound.size)) for one in questions * 4]
    usual = min(one.tokens for one in prompts)
    limit = BatchLimit(4)
    found = prompting.ask(listener, prompts, limit, answer_tokens=3, planned=usual)
    assert limit.size == 4 and all(len(group) * max(group) <= 4 * usual or len(group) == 1 for group in groups)
    assert max(map(len, groups)) == 4 and min(map(len, groups)) < 4
    assert found == prompting.ask(listener, prompts, BatchLimit(1), answer_tokens=3)


def test_warming_up_takes_the_largest_shape(engine, monkeypatch):
    seen = []
    real = prompting.decode

    def spy(language, rows, **limits):
        seen.append((len(rows), {len(row) for row in rows}, limits))
        return real(language, rows, **limits)

    monkeypatch.setattr(prompting, "decode", spy)
    listener = engine._loaded.model
    question = listener.question(load_prompt("tone_list"), "")
    capacity.warm_up(listener, question, BatchLimit(3), answer_tokens=5, whole=True)
    (rows, tokens, limits) = seen[0]
    assert rows == 3 and tokens == {752 + len(question)}
    assert limits["answer_tokens"] == limits["least_tokens"] == 5, "the cache is filled to the end"

    def never(language, rows, **limits):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(prompting, "decode", never)
    with pytest.raises(NotReady, match="too little memory"):
        capacity.warm_up(listener, question, BatchLimit(2), answer_tokens=5, whole=True)


def test_as_many_windows_as_memory_holds(engine):
    listener = engine._loaded.model
    each = capacity.row_bytes(listener.language.config, listener.encoder.module.config, torch.float32, 1_000)

    def rows(free):
        return capacity.rows(listener, 1_000, free, 16)

    assert [rows(each * 5 + 1), rows(each * 99), rows(0)] == [5, 16, 1]


def test_the_base_model_has_its_tags(folder, tmp_path):
    engine = made(folder, tmp_path, variant="base", answer_tokens=3)
    engine.load()
    listener = engine._loaded.model
    question = listener.question(engine._loaded.prompt, "")
    names = {number: name for name, number in listener.tokenizer.special.items()}
    assert question.before == ()
    assert [names[number] for number in question.after] == [
        "<|startofanalysis|>",
        "<|en|>",
        "<|keyword|>",
        "<|en|>",
        "<|notimestamps|>",
        "<|emotion_recognition|>",
    ]
    assert listener.stop == (len(checkpoints.tokens()),)
    refused, done = engine.run([ToneItem(spoken_vowels(), "How?"), ToneItem(spoken_vowels())])
    assert isinstance(refused, InvalidInput) and "takes no instruction" in str(refused)
    assert isinstance(done, Tone)
    assert engine.info().model == "Qwen-Audio"
    engine.close()


def test_info_needs_no_loading_and_stays_the_same(folder, tmp_path):
    engine = made(folder, tmp_path)
    info = engine.info()
    assert (info.engine, info.model, info.device, info.dtype) == ("qwen_audio", "Qwen-Audio-Chat", "cpu", "float32")
    assert info.revision and info.prompt_version.startswith("tone_list@1+")
    assert "Tongyi Qianwen" in info.licence and "improve another large language model" in info.note
    engine.load()
    assert engine.info() == info
    engine.close()
    assert made(folder, tmp_path, answer_tokens=7).info().prompt_version != info.prompt_version
    assert made(folder, tmp_path, prompt="tone_free").info().prompt_version.startswith("tone_free@1+")


def test_what_is_missing_is_told_at_loading(folder, tmp_path, monkeypatch):
    absent = made(tmp_path / "nowhere", tmp_path)
    assert absent.info().revision == ""
    with pytest.raises(NotReady, match=r"qwen\.tiktoken"):
        absent.load()
    with pytest.raises(NotReady, match="of the form 'tags'"):
        made(folder, tmp_path, prompt="emotion_keyword").load()
    with pytest.raises(NotReady, match="tone_list"):
        made(folder, tmp_path, prompt="nothing").load()
    assert made(folder, tmp_path, prompt="nothing").info().prompt_version == ""
    (unloaded,) = made(folder, tmp_path).run([ToneItem(spoken_vowels())])
    assert isinstance(unloaded, EngineFault)
    monkeypatch.setitem(sys.modules, "torch", None)
    bare = made(folder, tmp_path)
    assert bare.info().dtype == "auto"
    with pytest.raises(NotReady, match=r"merrflow-qwen-audio\[torch\]"):
        bare.load()


def test_too_little_memory_for_the_weights_is_told_with_what_to_do(folder, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    engine = made(folder, tmp_path)
    monkeypatch.setattr(engine, "open", full)
    with pytest.raises(NotReady, match="MERRFLOW_QWEN_AUDIO_DTYPE=bfloat16") as caught:
        engine.load()
    assert caught.value.reason == "MEMORY_MISSING"


@pytest.mark.parametrize(
    ("dtype", "attention"),
    [
        ("bfloat16", "sdpa"),
        ("float16", "eager"),
        pytest.param("float16", "sdpa", marks=pytest.mark.slow),
        pytest.param("bfloat16", "eager", marks=pytest.mark.slow),
    ],
)
def test_half_precision_runs(folder, tmp_path, dtype, attention):
    engine = made(folder, tmp_path, dtype=dtype, attention=attention)
    engine.load()
    short, long = spoken_vowels(1.0), spoken_vowels(2.5)
    tones = described(engine, long, short)
    assert all(isinstance(tone, Tone) and tone.content is Content.SPEECH for tone in tones)
    assert any(tone.text for tone in tones)
    assert engine._loaded.model.language.dtype == getattr(torch, dtype)
    engine.close()


def test_an_answer_without_words_is_a_refusal(engine, monkeypatch):
    monkeypatch.setattr(prompting, "ask", lambda listener, prompts, limit, **_: [Reply("...") for _ in prompts])
    (tone,) = described(engine, spoken_vowels())
    assert (tone.text, tone.outcome) == ("", merge_replies([], load_prompt("tone_list")).outcome)
    assert tone.speech, "the measurements stay"
