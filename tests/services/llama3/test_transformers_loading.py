"""The `transformers` engine's weights: what loads, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from merrflow_llama3 import SPEC
from merrflow_llama3.engines.chat_tokenizer import open_chat_tokenizer
from merrflow_llama3.engines.language_model import Question
from merrflow_llama3.engines.transformers import Transformers, batching
from merrflow_serving.errors import NotReady
from tests.services.llama3.batching_models import GOLDEN, opened, prompts
from tests.services.llama3.tiny_llama import write_tiny_llama


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny")


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


def pickled(folder: Path, target: Path, content: object) -> Path:
    target.mkdir()
    for name in ("config.json", "generation_config.json"):
        (target / name).write_bytes((folder / name).read_bytes())
    torch.save(content, target / "pytorch_model.bin")
    return target


def test_pickled_weights_are_read_where_there_are_no_others(folder, tmp_path):
    tensors = {key: value for shard in folder.glob("*.safetensors") for key, value in load_file(shard).items()}
    expected, found = opened(folder).state_dict(), opened(pickled(folder, tmp_path / "pickled", tensors)).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_pickle_of_more_than_tensors_is_refused_before_it_runs(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    for content, message in (({"x": Evil()}, "holds more than tensors"), ({}, "holds no tensors")):
        with pytest.raises(NotReady, match=message):
            opened(pickled(folder, tmp_path / message, content))
    assert not (tmp_path / "ran").exists()


def test_tensors_that_the_model_does_not_have_are_a_warning(folder, tmp_path):
    def add(tensors, key):
        tensors["model.layers.1.extra.weight"] = tensors[key].clone()
        return ("model.layers.1.extra.weight",)

    with capture_logs() as logs:
        opened(change(folder, tmp_path / "more", add))
    assert [line["keys"] for line in logs] == ["model.layers.1.extra.weight"]


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
