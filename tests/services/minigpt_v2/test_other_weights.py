"""Weights that a person names: the same model in other files, other revisions and fine-tunes. No size is known here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from structlog.testing import capture_logs

from merrflow_minigpt_v2.engines.minigpt_v2 import language
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_serving.errors import NotReady
from tests.services.minigpt_v2.tiny import SHAPE, Files, TinyEngine, item, make_files

pytestmark = pytest.mark.usefixtures("one_thread")
PREFIX = "llama_model.base_model.model."
ADAPTED = f"{PREFIX}model.layers.0.self_attn."


def described(root: Path) -> tuple[str, list[dict]]:
    """What the engine says of a picture, and its warnings."""
    engine = TinyEngine(
        MiniGptSettings(
            engine="minigpt_v2", weights=str(root), device="cpu", models_dir=root / "none", answer_tokens=12
        )
    )
    with capture_logs() as logs:
        engine.load()
    assert engine.info().revision.count("sampled:") == 3
    (scene,) = engine.run([item(1)])
    engine.close()
    return scene.text, [line for line in logs if line["log_level"] == "warning"]


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> str:
    text, warnings = described(make_files().write(tmp_path_factory.mktemp("published")))
    (warning,) = warnings
    assert warning["weights"] == "llama-2-7b-chat" and "config.json has sha256" in warning["differences"]
    return text


def renamed(change: Callable[[str], str]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        files.checkpoint = {change(key): tensor for key, tensor in files.checkpoint.items()}

    return edit


def saved_whole(files: Files) -> None:
    """A fine-tune saved with all that it was trained from, by newer peft's names; what it came from is not used."""
    adapted = {name for name in files.llama if "q_proj" in name or "v_proj" in name}
    for name, tensor in list(files.llama.items()):
        key = name.replace("_proj.weight", "_proj.base_layer.weight") if name in adapted else name
        files.checkpoint[PREFIX + key] = tensor
        files.llama[name] = tensor + 1 if tensor.is_floating_point() else tensor
    for name, tensor in list(files.eva.items()):
        files.checkpoint[f"visual_encoder.{name}"] = tensor
        files.eva[name] = tensor + 1


@pytest.mark.parametrize(
    "edit",
    [
        renamed(lambda key: key.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default.")),
        renamed(lambda key: key.removeprefix("llama_model.")),
        renamed(lambda key: f"module.{key}"),
        saved_whole,
    ],
    ids=["newer peft", "peft alone", "several cards", "saved whole"],
)
def test_other_names_of_the_same_tensors(published, tmp_path, edit):
    files = make_files()
    edit(files)
    assert described(files.write(tmp_path))[0] == published


def bare(root: Path, files: Files) -> None:
    torch.save(files.checkpoint, root / "minigpt-v2" / "minigptv2_checkpoint.pth")


def in_shards(kind: str, names: list[str]) -> Callable[[Path, Files], None]:
    """Llama's weights in other files; a single one of the usual name has no index."""

    def write(root: Path, files: Files) -> None:
        folder, placed = root / "llama-2-7b-chat", {}
        for path in folder.glob("model*"):
            path.unlink()
        for number, name in enumerate(names):
            part = {key: files.llama[key].contiguous() for key in sorted(files.llama)[number :: len(names)]}
            torch.save(part, folder / name) if kind == "bin" else save_file(part, folder / name)
            placed |= dict.fromkeys(part, name)
        base = {"bin": "pytorch_model", "safetensors": "model"}[kind]
        if len(names) > 1:
            (folder / f"{base}.{kind}.index.json").write_text(json.dumps({"weight_map": placed}))

    return write


@pytest.mark.parametrize(
    "write",
    [
        bare,
        in_shards("safetensors", ["model.safetensors"]),
        in_shards("safetensors", [f"part-{number}.safetensors" for number in range(3)]),
        in_shards("bin", ["pytorch_model.bin"]),
        in_shards("bin", ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]),
    ],
    ids=["state_dict alone", "one safetensors", "other shards", "one pickle", "pickles"],
)
def test_other_files_of_the_same_tensors(published, tmp_path, write):
    files = make_files()
    write(files.write(tmp_path), files)
    text, (warning,) = described(tmp_path)
    assert text == published and "the setting WEIGHTS names them" in warning["event"]


def test_keys_that_nothing_takes_are_a_warning_with_their_names(published, tmp_path):
    files = make_files()
    files.checkpoint["feats_llama_proj.weight"] = torch.zeros(3, 3)  # of Emotion-LLaMA
    files.eva["mim_head.weight"] = torch.zeros(3)
    files.llama["model.layers.7.mlp.up_proj.weight"] = torch.zeros(3)
    text, warnings = described(files.write(tmp_path))
    named = {Path(line["file"]).name: line["keys"] for line in warnings if "file" in line}
    assert text == published and named == {
        "minigptv2_checkpoint.pth": "feats_llama_proj.weight",
        "eva_vit_g.pth": "mim_head.weight",
        "llama-2-7b-chat": "model.layers.7.mlp.up_proj.weight",
    }


def test_what_a_fine_tune_adapts_beyond_is_merged_too(published, tmp_path):
    files, by_hand = make_files(), make_files()
    down, up = torch.randn(2, 48), torch.randn(48, 2)
    files.checkpoint |= {f"{ADAPTED}o_proj.lora_A.default.weight": down, f"{ADAPTED}o_proj.lora_B.default.weight": up}
    weight = "model.layers.0.self_attn.o_proj.weight"
    by_hand.llama[weight] = by_hand.llama[weight].float() + SHAPE.lora.alpha / 2 * up @ down
    text, warnings = described(files.write(tmp_path / "tuned"))
    assert len(warnings) == 1
    assert text == described(by_hand.write(tmp_path / "by_hand"))[0] != published


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (f"{ADAPTED}q_proj.lora_B.weight", r"minigptv2_checkpoint\.pth .*; missing: \S+q_proj\.lora_B\.weight\. Get"),
        ("llama_proj.bias", r"missing: llama_proj\.bias\. Get the file again$"),
    ],
)
def test_a_missing_key_is_one_line(tmp_path, key, message):
    files = make_files()
    del files.checkpoint[key]
    with pytest.raises(NotReady, match=message) as caught:
        described(files.write(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_old_and_a_new_name_of_one_adapter_are_refused():
    files = make_files()
    files.checkpoint[f"{ADAPTED}q_proj.lora_A.default.weight"] = files.checkpoint[f"{ADAPTED}q_proj.lora_A.weight"]
    with pytest.raises(NotReady, match=r"x\.pth has llama_model\.\S+q_proj\.lora_A\.weight twice"):
        language.published_names(files.checkpoint, "x.pth")
