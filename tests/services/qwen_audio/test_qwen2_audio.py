"""Qwen2-Audio: against transformers' own class from end to end, and against other batches."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import Qwen2AudioForConditionalGeneration, WhisperFeatureExtractor  # noqa: E402

from merrflow_qwen_audio import SPEC  # noqa: E402
from merrflow_qwen_audio.engines.audio_language.capacity import row_bytes  # noqa: E402
from merrflow_qwen_audio.engines.audio_language.decoding import Draw, decode  # noqa: E402
from merrflow_qwen_audio.engines.audio_language.prompt_file import load_prompt  # noqa: E402
from merrflow_qwen_audio.engines.audio_language.prompting import AudioPrompt, ask  # noqa: E402
from merrflow_qwen_audio.engines.qwen2_audio.model import Qwen2AudioModel, read_config, without_data  # noqa: E402
from merrflow_qwen_audio.types import ToneItem  # noqa: E402
from merrflow_serving.errors import NotReady  # noqa: E402
from merrflow_serving.torch.decoding import GREEDY  # noqa: E402
from merrflow_serving.torch.device import BatchLimit  # noqa: E402
from merrflow_serving.torch.estimate import Plan, module_bytes  # noqa: E402
from merrflow_serving.torch.padding import left_padded  # noqa: E402
from tests.services.cards import CARD_24_GB  # noqa: E402
from tests.services.qwen_audio import qwen2_checkpoints as checkpoints  # noqa: E402
from tests.services.qwen_audio.synthetic_speech import spoken_vowels  # noqa: E402

torch.set_num_threads(1)
CPU = torch.device("cpu")
SECONDS = (0.31, 1.005, 2.0, 3.3, 7.0, 30.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoints.write(tmp_path_factory.mktemp("tiny2"), checkpoints.weights())


@pytest.fixture(scope="module")
def model(folder):
    return Qwen2AudioModel(folder, device=CPU, dtype=torch.float32, attention="sdpa")


@pytest.fixture(scope="module")
def native(folder):
    return Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def recordings():
    return [spoken_vowels(seconds, f0=110.0 + 11.0 * number) for number, seconds in enumerate(SECONDS)]


def native_inputs(question, samples):
    """What transformers' processor makes of a prompt with one sound."""
    features = WhisperFeatureExtractor(feature_size=128)(
        samples, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True, padding="max_length"
    )
    frames = int(features["attention_mask"].sum())
    ids = [*question.before, *[checkpoints.AUDIO] * (((frames - 1) // 2 + 1 - 2) // 2 + 1), *question.after]
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "input_features": features["input_features"],
        "feature_attention_mask": features["attention_mask"],
    }


def test_the_prompt_is_the_published_template(model, folder):
    from tokenizers import Tokenizer

    question = model.question(load_prompt("tone_free"), "How?")
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nHow?<|im_end|>\n<|im_start|>assistant\n"
    )
    whole = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    assert [*question.before, checkpoints.AUDIO, *question.after] == whole


def test_logits_and_answers_equal_the_native_class(model, native, recordings):
    question = model.question(load_prompt("tone_list"), "")
    for samples in recordings:
        inputs = native_inputs(question, samples)
        (heard,) = model.embed_sounds([samples])
        row = model.splice(question, heard)
        assert len(row) == inputs["input_ids"].shape[1] == model.span(samples.size) + len(question)
        with torch.inference_mode():
            expected = native(**inputs).logits[0]
            found = model.language(inputs_embeds=row[None]).logits[0]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        written = native.generate(**inputs, do_sample=False, max_new_tokens=6, eos_token_id=list(model.stop))
        (answer,) = decode(model.language, [row], stop=model.stop, answer_tokens=6)
        assert list(answer.ids) == [one for one in written[0, row.shape[0] :].tolist() if one not in model.stop]


def test_a_penalty_on_repetitions_is_that_of_the_native_class(model, native, recordings):
    """Which counts the prompt's tokens; embeddings have none."""
    question, how = model.question(load_prompt("tone_list"), ""), GREEDY.model_copy(update={"repetition_penalty": 1.3})
    draw = Draw(prompt=(*question.before, *question.after))
    for samples in recordings:
        inputs = native_inputs(question, samples)
        row = model.splice(question, model.embed_sounds([samples])[0])
        (answer,) = decode(model.language, [row], stop=model.stop, answer_tokens=8, decoding=how, draws=[draw])
        written = native.generate(
            **inputs, do_sample=False, repetition_penalty=1.3, max_new_tokens=8, eos_token_id=list(model.stop)
        )
        assert list(answer.ids) == [one for one in written[0, row.shape[0] :].tolist() if one not in model.stop]


def test_times_in_an_answer_are_kept(tmp_path):
    folder = checkpoints.write(tmp_path, checkpoints.weights())
    content = json.loads((folder / "tokenizer.json").read_bytes())
    number = max(token["id"] for token in content["added_tokens"]) + 1
    content["added_tokens"].append(content["added_tokens"][0] | {"id": number, "content": "<|1.20|>"})
    (folder / "tokenizer.json").write_text(json.dumps(content))
    model = Qwen2AudioModel(folder, device=CPU, dtype=torch.float32, attention="sdpa")
    words = model._tokenizer.encode("from "), model._tokenizer.encode(" on")
    assert model.text([*words[0].ids, number, number, *words[1].ids, model.stop[0]]) == "from <|1.20|><|1.20|> on"


def test_the_batch_does_not_matter(model, recordings):
    question = model.question(load_prompt("tone_list"), "")
    alone = [model.splice(question, model.embed_sounds([samples])[0]) for samples in recordings]
    together = [model.splice(question, heard) for heard in model.embed_sounds(recordings)]
    embeddings, mask = left_padded(together)
    with torch.inference_mode():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        found = model.language(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions).logits[:, -1]
        expected = torch.cat([model.language(inputs_embeds=row[None]).logits[:, -1] for row in alone])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    prompts = [AudioPrompt(samples, question, len(row)) for samples, row in zip(recordings, alone, strict=True)]
    texts = [ask(model, [prompt], BatchLimit(1), answer_tokens=6)[0] for prompt in prompts]
    assert ask(model, prompts, BatchLimit(8), answer_tokens=6) == texts
    assert ask(model, prompts[::-1], BatchLimit(2), answer_tokens=6) == texts[::-1]


def test_control_tokens_in_an_instruction_stay_text(model):
    question = model.question(load_prompt("tone_list"), "<|im_end|><|AUDIO|><|audio_eos|>")
    plain = model.question(load_prompt("tone_list"), "x")
    assert sum(number >= 256 for number in question.after) == sum(number >= 256 for number in plain.after)
    assert "<|im_end|><|AUDIO|>" in model.text(question.after)


@pytest.mark.parametrize(
    "key", ["audio_tower.layers.1.fc2.bias", "language_model.lm_head.weight", "multi_modal_projector.linear.weight"]
)
def test_a_key_that_lacks_or_is_called_otherwise_is_an_error(tmp_path, key):
    weights = checkpoints.weights()
    weights[f"{key}_new"] = weights.pop(key)
    with pytest.raises(NotReady, match=f"(?s)missing: .*{key.split('.')[-2]}.*unexpected: {key}_new"):
        Qwen2AudioModel(checkpoints.write(tmp_path, weights), device=CPU, dtype=torch.float32, attention="sdpa")


def test_another_model_or_tokenizer_is_refused(tmp_path):
    folder = checkpoints.write(tmp_path, checkpoints.weights())

    def refused(says):
        with pytest.raises(NotReady, match=says):
            Qwen2AudioModel(folder, device=CPU, dtype=torch.float32, attention="sdpa")

    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | {"added_tokens": content["added_tokens"][:3]}))
    refused("has no <|audio_bos|>".replace("|", r"\|"))
    (folder / "tokenizer.json").write_text("[]")
    refused("not a tokenizer")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    refused("not that of Qwen2-Audio")


def test_the_published_size_fits_a_card_of_24_gb(tmp_path):
    content = checkpoints.config()
    content["audio_config"] |= {
        "d_model": 1280,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "encoder_layers": 32,
    }
    content["text_config"] |= {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "num_hidden_layers": 32,
        "vocab_size": 156_032,
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    config = read_config(tmp_path)
    assert config.text_config.rope_parameters["rope_theta"] == 10_000.0
    model = without_data(config)
    weights = module_bytes(model, torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(8.4e9, rel=0.01)
    row = row_bytes(config.text_config, config.audio_config, torch.bfloat16, 1_024)
    assert Plan(weights, cache=6 * row).total <= CARD_24_GB


def test_the_engine_from_its_folder(folder, tmp_path):
    engine = SPEC.make_engine(
        SPEC.settings(engine="qwen2_audio", weights=str(folder), models_dir=tmp_path, answer_tokens=6, device="cpu")
    )
    info = engine.info()
    assert info.licence == "Apache-2.0" and info.model == "Qwen2-Audio-7B-Instruct" and info.revision
    engine.load()
    spoken, silent = engine.run([ToneItem(spoken_vowels()), ToneItem(np.zeros(16_000, np.float32))])
    assert silent.text == "There is no sound."
    assert spoken.speech and spoken.measurements
    assert engine.info() == info, "a client's keys stay as they were before loading"
    engine.close()
