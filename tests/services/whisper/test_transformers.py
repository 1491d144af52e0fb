"""The engine `transformers`: tiny random models through gRPC, and Whisper base as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from merrflow_serving.errors import Abandoned, InvalidInput, NotReady
from merrflow_serving.machine import Memory
from merrflow_serving.media.audio import decode_audio
from merrflow_serving.torch.card import GIB
from merrflow_whisper import SPEC, SpeechItem, WhisperSettings
from tests.services.faked_card import claims, fake_card
from tests.services.whisper import checkpoints
from tests.services.whisper.test_transcriber_service import CLIP, client, request

EXAMPLES = Path(__file__).parents[3] / "examples/clips"
BEAMS = "version: 1\ndecode: {beam_size: 2, temperatures: [0.0], compression_ratio: 2.0, log_probability: -1.0, "
BEAMS += "tokens_per_second: 3, tokens_more: 2}\nreject: {language_probability: 0, log_probability: -99, no_speech: 2, "
BEAMS += "no_speech_log_probability: -99, echo: 1}\nlanguages: {zh: {prompt: 以下, convert: t2s}}\n"


def speech(*names: str) -> list[SpeechItem]:
    return [SpeechItem(decode_audio(EXAMPLES / f"{name}.mp4")) for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A `models_dir` with two checkpoints, and rules that believe everything."""
    folder = tmp_path_factory.mktemp("models")
    checkpoints.write_whisper(folder / "me--whisper", checkpoints.whisper_weights())
    checkpoints.write_ctc(folder / "me--ctc")
    (folder / "rules.yaml").write_text(BEAMS)
    return folder


def opened(folder: Path, model: str, **more):
    given = {"rules": str(folder / "rules.yaml")} if (folder / "rules.yaml").exists() else {}
    settings = WhisperSettings(
        engine="transformers", models_dir=folder, model=model, offline=True, device="cpu", threads=1, **(given | more)
    )
    engine = SPEC.make_engine(settings)
    engine.load()
    return engine


@pytest.mark.parametrize("model", ["me/whisper", "me/ctc"])
async def test_a_checkpoint_through_grpc(folder, model):
    rules = str(folder / "rules.yaml")
    async with client(folder, engine="transformers", model=model, rules=rules, device="cpu") as stub:
        found = await stub.Transcribe(request(CLIP))
    assert found.segments and found.text
    for segment in found.segments:
        assert 0.2 < segment.start_seconds <= segment.end_seconds <= 3.42 and 0 < segment.confidence < 1
        assert segment.HasField("no_speech_probability") == (model == "me/whisper")
    assert (found.language, found.language_probability > 0) in ({("en", True), ("zh", True), ("de", True), ("", False)})
    assert (found.engine.engine, found.engine.model) == ("transformers", model)
    assert found.engine.revision and found.engine.prompt_version


@pytest.mark.parametrize("model", ["me/whisper", "me/ctc"])
def test_alone_or_in_a_batch_the_text_is_the_same(folder, model):
    engine = opened(folder, model)
    items = speech("good_news", "surprise_visit", "quiet_goodbye")
    items.insert(1, SpeechItem(np.zeros(16_000, np.float32)))
    together = engine.run(items)
    assert together[1].reason == "nobody speaks" and all(found.text for found in (*together[:1], *together[2:]))
    for alone, found in zip((engine.run([item])[0] for item in items), together, strict=True):
        assert (alone.text, alone.language) == (found.text, found.language)
        for one, other in zip(alone.segments, found.segments, strict=True):
            assert (one.start, one.end, one.text) == (other.start, other.end, other.text)
            assert one.confidence == pytest.approx(other.confidence, abs=2e-4)  # rounding of float32


def test_an_improbable_text_is_drawn_again_with_the_same_random_numbers(folder, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(BEAMS.replace("[0.0]", "[0.8]"))
    engine = opened(folder, "me/whisper", rules=str(file))
    torch.manual_seed(1)
    once, state = engine.run(speech("surprise_visit")), torch.random.get_rng_state()
    assert engine.run(speech("surprise_visit")) == once and torch.equal(state, torch.random.get_rng_state())
    assert once != opened(folder, "me/whisper").run(speech("surprise_visit"))


@pytest.mark.slow
def test_speech_longer_than_a_window_is_written_in_several(folder):
    (item,) = speech("surprise_visit")
    long = SpeechItem(np.tile(item.samples, 12), "de")
    (found,) = opened(folder, "me/whisper").run([long])
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts) and starts[-1] > 30 and found.segments[-1].end <= long.seconds + 0.001
    assert (found.language, found.language_probability) == ("de", 1.0)


def test_callers(folder):
    engine = opened(folder, "me/whisper")
    (item,) = speech("surprise_visit")
    wrong, left, kept = engine.run([SpeechItem(item.samples, "fr"), item, item], lambda place: place != 1)
    assert isinstance(wrong, InvalidInput) and "'fr'" in str(wrong) and isinstance(left, Abandoned)
    assert kept == engine.run([item])[0]
    asked = iter([True, True, True])
    assert engine.run([item], lambda place: next(asked, False))  # leaves in the middle of the text


def test_keys_that_do_not_fit_are_named(tmp_path):
    tensors = checkpoints.whisper_weights()
    del tensors["model.decoder.layers.1.fc1.weight"]
    tensors["model.encoder.conv1.weight"] = torch.zeros(checkpoints.WIDTH, 40, 3)
    tensors["model.encoder.extra"] = torch.zeros(1)
    checkpoints.write_whisper(tmp_path / "me--whisper", tensors)
    with pytest.raises(NotReady) as caught:
        opened(tmp_path, "me/whisper")
    for key in ("missing: model.decoder.layers.1.fc1.weight", "unexpected: model.encoder.extra"):
        assert key in str(caught.value)
    assert "of another shape: model.encoder.conv1.weight" in str(caught.value)


@pytest.mark.parametrize("name", ["preprocessor_config.json", "tokenizer.json"])
def test_a_part_that_is_missing_is_named(tmp_path, name):
    folder = checkpoints.write_whisper(tmp_path / "me--whisper", checkpoints.whisper_weights())
    (folder / name).unlink()
    with pytest.raises(NotReady, match=name.partition(".")[0]):
        opened(tmp_path, "me/whisper")


def test_another_kind_of_model_is_refused(tmp_path):
    config = checkpoints.whisper_config() | {"model_type": "bert"}
    checkpoints.write(tmp_path / "me--bert", {"a": torch.zeros(1)}, config)
    with pytest.raises(NotReady, match="'bert', which is no model of speech recognition"):
        opened(tmp_path, "me/bert")


def test_missing_weights_are_named_with_what_to_do(tmp_path):
    engine = SPEC.make_engine(WhisperSettings(engine="transformers", models_dir=tmp_path, offline=True))
    assert engine.info().model == "whisper-base" and engine.info().revision == ""
    with pytest.raises(NotReady, match="merrflow models pull whisper-base"):
        engine.load()


def test_memory_is_known_from_shapes(folder):
    from merrflow_whisper.engines.transformers.need import need

    for model in ("me--whisper", "me--ctc"):
        found = need(folder / model, torch.float16, windows=16, beams=5)
        assert 0 < found.least <= found.full
    assert opened(folder, "me/ctc").need() is None  # on a CPU


def test_its_share_of_a_card_is_announced_and_given_up(folder, monkeypatch):
    """The card is faked for what is announced; the model is on the CPU."""
    fake_card(monkeypatch, Memory(0, 24 * GIB, 0, 23 * GIB))
    engine = opened(folder, "me/whisper")
    (claim,), need = claims(folder), engine.need()
    assert (claim["service"], claim["least"], claim["full"]) == ("whisper", need.least, need.full)
    assert not claim["waits"], "it has loaded"
    engine.close()
    assert not claims(folder)


@pytest.mark.slow
def test_whisper_base_hears_what_it_hears_on_ctranslate2(models, tmp_path):
    checkpoints.write_base(tmp_path / "me--base", models / "faster-whisper-base")
    (found,) = opened(tmp_path, "me/base").run(speech("surprise_visit"))
    assert found.text == "Oh, what are you doing here?"
    assert found.language == "en" and found.language_probability == pytest.approx(0.93, abs=0.02)
    (segment,) = found.segments
    assert 0.2 < segment.start < 1.0 and segment.confidence == pytest.approx(0.63, abs=0.05)
