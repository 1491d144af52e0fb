"""The `transformers` engine's model: what loads, what is refused, and what happens when memory runs out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from merrflow_llama3 import SPEC
from merrflow_llama3.engines.chat_tokenizer import open_chat_tokenizer
from merrflow_llama3.engines.language_model import Ask, Drawn, Question
from merrflow_llama3.engines.transformers import Transformers, batching, draw
from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
from merrflow_llama3.engines.transformers.loading import load_model
from merrflow_llama3.prompt import Sampling
from merrflow_llama3.types import ReasonItem
from merrflow_serving.errors import EngineFault, NotReady, TooLarge
from merrflow_serving.torch.lost import DeviceLost
from tests.services.llama3.clue_sets import SAD
from tests.services.llama3.tiny_llama import write_tiny_llama

CPU = torch.device("cpu")
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repeat_penalty=1.0)
WARM = Sampling(temperature=0.8, top_p=0.95, top_k=0, min_p=0.0, repeat_penalty=1.0)
STOPS = frozenset({1017, 1023})
# Golden numbers: log-likelihoods that the seeded tiny model gives a fixed answer, made with plain transformers 5.23
# in float64.
GOLDEN = ((-27.944801, -8.451043), (-25.845677, -5.815501), (-24.365789, -11.278969))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny")


def opened(folder: Path, attention: str = "sdpa"):
    return load_model(folder, device=CPU, dtype=torch.float32, attention=attention)


def prompts(count: int = 8) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(11)
    shared = torch.randint(0, 1016, (70,), generator=generator).tolist()
    return [
        (1016, *shared, *torch.randint(0, 1016, (5 + 23 * place,), generator=generator).tolist())
        for place in range(count)
    ]


def answers(model: BatchingModel, asks: list[Ask]) -> list[Drawn]:
    found = {}
    model.generate(asks, lambda place, drawn: found.update({place: drawn}))
    return [found[place] for place in range(len(asks))]


def batching_model(folder: Path, sampling: Sampling = GREEDY, requests: int = 8, attention: str = "sdpa", **sizes: int):
    given = Sizes(requests, sizes.pop("context_tokens", 512), **sizes)
    return BatchingModel(opened(folder, attention), stops=STOPS, sampling=sampling, sizes=given)


# -- loading


def test_a_sharded_checkpoint_loads_with_the_published_numbers(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert "model.layers.1.self_attn.k_proj.weight" in index["weight_map"] and "lm_head.weight" in index["weight_map"]
    model = opened(folder)
    questions = [Question(tokens, ((5, 6, 1023), (700,))) for tokens in prompts(3)]
    for found, golden in zip(batching.likelihoods(model, questions), GOLDEN, strict=True):
        assert found == pytest.approx(golden, abs=1e-4)


def change(folder: Path, target: Path, edit) -> Path:
    """A copy of the checkpoint in which `edit` has changed the tensors of one shard."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    index = json.loads((target / "model.safetensors.index.json").read_text())
    key = "model.layers.1.self_attn.q_proj.weight"
    shard = target / index["weight_map"][key]
    tensors = load_file(shard)
    for name in edit(tensors, key):
        index["weight_map"][name] = shard.name
    for name in [name for name, file in index["weight_map"].items() if file == shard.name and name not in tensors]:
        del index["weight_map"][name]
    save_file(tensors, shard, metadata={"format": "pt"})
    (target / "model.safetensors.index.json").write_text(json.dumps(index))
    return target


def test_a_dropped_key_is_named(folder, tmp_path):
    with pytest.raises(NotReady, match=r"missing: model\.layers\.1\.self_attn\.q_proj\.weight"):
        opened(change(folder, tmp_path / "dropped", lambda tensors, key: (tensors.pop(key), ())[1]))


def test_a_renamed_key_is_named(folder, tmp_path):
    def rename(tensors, key):
        tensors["model.layers.1.self_attn.w_q.weight"] = tensors.pop(key)
        return ("model.layers.1.self_attn.w_q.weight",)

    with pytest.raises(NotReady) as caught:
        opened(change(folder, tmp_path / "renamed", rename))
    assert "missing: model.layers.1.self_attn.q_proj.weight" in str(caught.value)
    assert "unexpected: model.layers.1.self_attn.w_q.weight" in str(caught.value)


def test_a_misshapen_key_is_named(folder, tmp_path):
    def cut(tensors, key):
        tensors[key] = tensors[key][:, :32].contiguous()
        return ()

    with pytest.raises(NotReady, match=r"of another shape: model\.layers\.1\.self_attn\.q_proj\.weight"):
        opened(change(folder, tmp_path / "cut", cut))


def test_broken_and_foreign_folders_are_told(folder, tmp_path):
    broken = change(folder, tmp_path / "broken", lambda tensors, key: ())
    shard = sorted(broken.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(NotReady, match="cannot be loaded"):
        opened(broken)
    shard.unlink()
    with pytest.raises(NotReady, match=shard.name):
        opened(broken)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text(
        json.dumps({"model_type": "somebodys", "auto_map": {"AutoConfig": "evil.Config"}})
    )
    (foreign / "evil.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(NotReady, match="cannot be loaded"):
        opened(foreign)
    vision = tmp_path / "vision"
    vision.mkdir()
    (vision / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(NotReady, match="no language model"):
        opened(vision)


def test_pickled_weights_are_not_read(folder, tmp_path):
    target = tmp_path / "pickled"
    target.mkdir()
    for name in ("config.json", "generation_config.json"):
        (target / name).write_bytes((folder / name).read_bytes())
    torch.save({}, target / "pytorch_model.bin")
    with pytest.raises(NotReady, match="safetensors"):
        opened(target)


def test_a_folder_without_a_chat_template_is_told(folder, tmp_path):
    target = change(folder, tmp_path / "base", lambda tensors, key: ())
    content = json.loads((target / "tokenizer_config.json").read_text())
    del content["chat_template"]
    (target / "tokenizer_config.json").write_text(json.dumps(content))
    (target / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(NotReady, match="chat template"):
        open_chat_tokenizer(target)


def test_a_context_beyond_the_models_own_and_a_penalty_are_refused(folder, tmp_path):
    with pytest.raises(NotReady, match="8192"):
        Transformers(SPEC.settings(weights=str(folder), context_tokens=9000)).load()
    from merrflow_llama3.datafiles import read_text

    path = tmp_path / "penalty.yaml"
    path.write_text(read_text("prompts", "grounded.yaml").replace("repeat_penalty: 1.0", "repeat_penalty: 1.1"))
    with pytest.raises(NotReady, match="repeat_penalty"):
        Transformers(SPEC.settings(weights=str(folder), prompt=str(path))).load()


# -- many at once


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_answers_are_those_of_plain_generate(folder, attention):
    model = batching_model(folder, attention=attention)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    try:
        asks = [Ask(tokens, 0, 10) for tokens in prompts()]
        for ask, drawn in zip(asks, answers(model, asks), strict=True):
            made = plain.generate(
                torch.tensor([ask.tokens]), do_sample=False, temperature=None, top_p=None, max_new_tokens=10,
                eos_token_id=sorted(STOPS), pad_token_id=1017,
            )[0, len(ask.tokens) :].tolist()  # fmt: skip
            assert list(drawn.tokens) == [token for token in made if token not in STOPS]
            assert drawn.cut == (made[-1] not in STOPS)
    finally:
        model.close()


def test_logits_alone_and_in_a_batch_are_the_same_to_a_ten_thousandth(folder, monkeypatch):
    rows: list[torch.Tensor] = []
    real = draw.SeededDraw.__call__

    def watched(self, scores, draws):
        rows.extend(scores.clone())
        return real(self, scores, draws)

    monkeypatch.setattr(draw.SeededDraw, "__call__", watched)
    model = batching_model(folder, WARM)
    try:
        asks = [Ask(tokens, 40 + place, 6) for place, tokens in enumerate(prompts())]
        together = answers(model, asks)
        among = torch.stack(rows)
        for ask, drawn in zip(asks, together, strict=True):
            rows.clear()
            assert answers(model, [ask]) == [drawn]
            for row in rows:
                assert (among - row).abs().amax(-1).min() < 1e-4
    finally:
        model.close()


def test_prompts_share_the_pages_they_begin_with(folder):
    model = batching_model(folder)
    try:
        shared = prompts(1)[0][:64]
        answers(model, [Ask((*shared, 1, 2, 3), 0, 4)])
        cache = model._manager.batch_processor.cache
        found = cache.search_prefix_match("another", [*shared, 4, 5, 6])
        cache.free_blocks("another")
        assert found == 64
    finally:
        model.close()


def test_more_asks_than_the_cache_holds_wait_their_turn(folder):
    roomy, tight = (
        batching_model(folder, WARM, requests=8),
        batching_model(folder, WARM, requests=2, context_tokens=256),
    )
    try:
        asks = [Ask(tokens, place, 8) for place, tokens in enumerate(prompts(7))] * 2
        assert tight.plan.tokens < sum(len(ask.tokens) + 8 for ask in asks)
        assert answers(tight, asks) == answers(roomy, asks)
    finally:
        roomy.close()
        tight.close()


# -- out of memory


class Full:
    """A forward pass that has memory for so many answers' tokens."""

    def __init__(self, model, monkeypatch, most: int) -> None:
        self.most = most
        self.failures = 0
        real = model._model.forward

        def forward(*args, **kwargs):
            starts = kwargs.get("cu_seq_lens_q")
            if starts is not None and starts.numel() - 1 > self.most:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(*args, **kwargs)

        monkeypatch.setattr(model._model, "forward", forward)


def test_out_of_memory_lowers_the_limit_and_loses_nobody(folder, monkeypatch):
    model = batching_model(folder, WARM)
    try:
        asks = [Ask(tokens, place, 8) for place, tokens in enumerate(prompts())]
        expected = answers(model, asks)
        full = Full(model, monkeypatch, most=3)
        assert answers(model, asks) == expected
        assert model.plan.requests == 2 and full.failures == 2  # 8, 4, 2
        assert answers(model, asks[::-1]) == expected[::-1]  # and it stays so
        assert full.failures == 2
    finally:
        model.close()


def test_one_that_does_not_fit_alone_is_too_large(folder, monkeypatch):
    model = batching_model(folder, WARM, requests=2)
    try:
        Full(model, monkeypatch, most=0)
        found = answers(model, [Ask(tokens, 0, 4) for tokens in prompts(2)])
        assert all(isinstance(error, TooLarge) for error in found)
    finally:
        model.close()


def test_a_lost_device_is_told(folder, monkeypatch):
    model = batching_model(folder)
    try:

        def gone(*_, **__):
            raise RuntimeError("CUDA error: device-side assert triggered")

        monkeypatch.setattr(model._model, "forward", gone)
        with pytest.raises(DeviceLost):
            answers(model, [Ask(prompts(1)[0], 0, 4)])
    finally:
        model.close()


def test_another_fault_is_raised_and_the_next_batch_works(folder, monkeypatch):
    model = batching_model(folder)
    try:
        asks = [Ask(tokens, 0, 4) for tokens in prompts(2)]
        expected = answers(model, asks)
        with monkeypatch.context() as patch:

            def broken(*_, **__):
                raise IndexError("a bug")

            patch.setattr(model._model, "forward", broken)
            with pytest.raises((IndexError, EngineFault), match="a bug"):
                answers(model, asks)
        assert answers(model, asks) == expected
    finally:
        model.close()


def test_scores_in_smaller_passes_where_memory_is_short(folder, monkeypatch):
    model = batching_model(folder)
    try:
        questions = [Question(tokens, ((5, 6), (7,), (8, 9, 10))) for tokens in prompts()]
        expected = model.likelihoods(questions)
        real = batching.likelihoods

        def short(loaded, some):
            if len(some) > 3 or any(len(question.tokens) > 200 for question in some):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(loaded, some)

        monkeypatch.setattr(batching, "likelihoods", short)
        found = model.likelihoods(questions)
        for question, told, wanted in zip(questions, found, expected, strict=True):
            if len(question.tokens) > 200:
                assert isinstance(told, TooLarge)
            else:
                assert told == pytest.approx(wanted, abs=1e-4)
        assert sum(isinstance(told, TooLarge) for told in found) == 2
    finally:
        model.close()


def test_too_little_memory_for_one_answer_is_told(folder):
    with pytest.raises(NotReady, match="CONTEXT_TOKENS"):
        batching_model(folder, memory_bytes=1000)


def test_closing_ends_the_thread_and_can_be_repeated(folder):
    made = Transformers(SPEC.settings(weights=str(folder), device="cpu", answer_tokens=4, attempts=1, max_batch_size=2))
    made.load()
    thread = made._model._manager._generation_thread
    assert made.run([ReasonItem(SAD)])[0].answer_tokens <= 4 and thread.is_alive()
    made.close()
    made.close()
    assert not thread.is_alive()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_answers_are_scored_the_same_by_each_attention(folder, attention):
    model = batching_model(folder, attention=attention)
    try:
        questions = [Question(tokens, ((5, 6, 1023), (700,))) for tokens in prompts(3)]
        for found, golden in zip(model.likelihoods(questions), GOLDEN, strict=True):
            assert found == pytest.approx(golden, abs=1e-4)
        asks = [Ask(tokens, 0, 4) for tokens in prompts(2)]
        assert all(drawn.tokens for drawn in answers(model, asks))  # and it still writes after it has scored
    finally:
        model.close()
