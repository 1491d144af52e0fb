"""What the `vllm` engine asks of vLLM."""

from __future__ import annotations

import sys

import pytest
import torch

from merrflow_llama3 import SPEC
from merrflow_llama3.engines.vllm import Vllm
from merrflow_llama3.types import ReasonItem
from merrflow_serving.errors import NotReady
from merrflow_serving.torch.lost import DeviceLost
from tests.services.llama3 import fake_vllm
from tests.services.llama3.clue_sets import ANGRY, SAD
from tests.services.llama3.tiny_llama import write_tiny_llama


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
    made = Vllm(
        SPEC.settings(
            weights=str(write_tiny_llama(tmp_path / "tiny")), dtype="float32", context_tokens=1500, gpu_share=0.5,
            answer_tokens=4, attempts=2, max_batch_size=5,
        )
    )  # fmt: skip
    made.load()
    yield made
    made.close()


def test_settings_reach_vllm(engine):
    assert engine._model._llm.arguments == {
        "dtype": "float32",
        "gpu_memory_utilization": 0.5,
        "max_model_len": 1500,
        "max_num_seqs": 5,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }


def test_each_clip_has_its_own_seed_and_the_prompts_sampling(engine, monkeypatch):
    asked = []
    real = engine._model._llm.generate
    monkeypatch.setattr(
        engine._model._llm,
        "generate",
        lambda prompts, each, **more: (asked.append(each), real(prompts, each, **more))[1],
    )
    engine.run([ReasonItem(SAD, 1), ReasonItem(ANGRY, 2)])
    assert [len(each) for each in asked] == [2, 2]  # cut answers of 4 tokens never pass: each is asked twice
    seeds = [parameters.seed for each in asked for parameters in each]
    assert len(set(seeds)) == 4 and all(0 <= seed < 2**32 for seed in seeds)
    sampling = engine._prompt.sampling
    for parameters in asked[0]:
        assert (parameters.temperature, parameters.top_p) == (sampling.temperature, sampling.top_p)
        assert parameters.max_tokens == 4
        assert parameters.stop_token_ids == sorted(engine._tokenizer.stops)


def test_a_dead_worker_is_a_lost_device(engine, monkeypatch):
    class EngineDeadError(Exception):
        pass

    def die(*_, **__):
        raise EngineDeadError("EngineCore encountered an issue")

    monkeypatch.setattr(engine._model._llm, "generate", die)
    with pytest.raises(DeviceLost, match="restart"):
        engine.run([ReasonItem(SAD)])


def test_without_vllm_the_way_to_get_it_is_told(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(NotReady, match=r"EXTRAS=vllm"):
        Vllm(engine._settings).load()


def test_what_vllm_refuses_is_told(engine, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("Free memory on device is less than desired GPU memory utilization")

    monkeypatch.setattr(fake_vllm, "LLM", refuse)
    with pytest.raises(NotReady, match="Free memory on device"):
        Vllm(engine._settings).load()


def test_a_driver_too_old_is_told_rather_than_what_vllm_makes_of_it(engine, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("Engine core initialization failed. See root cause above.")

    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12040).")

    monkeypatch.setattr(fake_vllm, "LLM", fail)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(NotReady, match=r"needs NVIDIA driver 580 or newer .*version 12040.*or a build of torch"):
        engine.load()


def test_a_gguf_file_is_for_other_engines(tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(NotReady, match="`llamacpp` or `transformers`"):
        Vllm(SPEC.settings(weights=str(path))).load()
