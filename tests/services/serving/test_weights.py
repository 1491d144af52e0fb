"""The table of weights, where they are looked for, and what is said of those that are not whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file
from structlog.testing import capture_logs

from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.torch.settings import TorchSettings
from merrflow_serving.weights import Place, entries, entry, folder_of, locate, revision
from merrflow_serving.weights import files as files_module
from merrflow_serving.weights.entries import WeightFile, groups, members
from merrflow_serving.weights.files import check, wanted_files
from merrflow_serving.weights.manifest import FileRecord, Manifest, read_manifest, sample, write_manifest


def offline(tmp_path: Path, **changes) -> Place:
    return Place(**({"models_dir": tmp_path / "models", "hub": "huggingface", "offline": True} | changes))


def model_folder(folder: Path, seed: int = 0) -> Path:
    """A folder as a hub has it: configuration, tokenizer, weights large enough to be sampled."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(seed)
    save_file({"x": numbers.normal(size=200_000).astype(np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_holds_what_the_engines_ask_for() -> None:
    assert set(entries()) == {
        "llama-3-8b-instruct",
        "llama-2-7b-chat",
        "eva-vit-g",
        "minigpt-v2",
        "qwen-audio",
        "qwen-audio-chat",
        "qwen2-audio-7b-instruct",
        "whisper-base",
        "faster-whisper-base",
        "faster-whisper-small",
        "faster-whisper-large-v3",
        "openface-predictors",
        "smolvlm2-2.2b",
        "voxtral-mini-3b",
        "qwen2.5-1.5b",
    }


def test_a_group_is_its_entries() -> None:
    laptop = groups()["laptop"]
    assert members(["laptop", "whisper-base", laptop[0]]) == [*laptop, "whisper-base"]
    assert {entry(name).service for name in laptop} == {"minigpt-v2", "qwen-audio", "llama3"}
    assert not set(groups()) & set(entries())
    for name in laptop:  # a file without a sha256 has an exact size, and its hub's sha256 is recorded at the first pull
        assert all(file.size for file in entry(name).files)


@pytest.mark.parametrize("name", sorted(entries()))
def test_every_entry_says_what_a_user_must_know(name: str) -> None:
    found = entry(name)
    assert found.service in SERVICES
    assert found.engines and found.purpose and found.licence and found.outputs and found.bytes > 10**6
    assert found.licence_url.startswith("https://")
    assert found.repositories or all("{folder}" in step or "merrflow" in step or "pip" in step for step in found.steps)
    assert len({file.name for file in found.files}) == len(found.files)
    for hub, place in found.repositories.items():
        assert place.id.count("/") == 1 and place.revision, hub


def test_sizes_of_llama_3_are_those_of_its_parameters() -> None:
    """8,030,261,248 parameters in bfloat16 (the model card's 8.03 B), and headers of a few kB each."""
    shards = [file.size for file in entry("llama-3-8b-instruct").files if file.name.endswith(".safetensors")]
    assert 0 < sum(shards) - 2 * 8_030_261_248 < 60_000


def test_sizes_of_llama_2_are_those_of_its_parameters() -> None:
    """6,738,415,616 parameters in float16, and the rotary frequencies that the file holds besides."""
    shards = [file.size for file in entry("llama-2-7b-chat").files if file.name.endswith(".safetensors")]
    assert 0 < sum(shards) - 2 * 6_738_415_616 < 60_000


def test_a_repository_by_name_is_an_entry() -> None:
    found = entry("HuggingFaceTB/SmolLM2-135M-Instruct@abc")
    assert found.name == "HuggingFaceTB--SmolLM2-135M-Instruct@abc"
    assert found.repositories["huggingface"].revision == "abc"
    assert found.wants("model-00001-of-00002.safetensors") and found.wants("tokenizer_config.json")
    assert not found.wants("pytorch_model.bin") and not found.wants("original/consolidated.00.pth")


@pytest.mark.parametrize("name", ["llama-4", "", "a/b/c", "../x", "a/..", "/etc/passwd", "a b/c"])
def test_what_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there are: llama-3-8b-instruct"):
        entry(name)
    with pytest.raises(NotReady):
        locate(name, offline(tmp_path))
    assert revision(name, offline(tmp_path)) == ""


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry("qwen-audio").name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        entries()["x"] = entry("qwen-audio")  # type: ignore[index]


# -- settings ---------------------------------------------------------------------------------------------------------


class Some(TorchSettings):
    model_config = TorchSettings.model_config | {"env_prefix": "MERRFLOW_SOME_"}


def test_settings_for_one_service_and_for_all(monkeypatch, tmp_path: Path) -> None:
    for name in ("MERRFLOW_MODELS_DIR", "MERRFLOW_HUB", "MERRFLOW_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    assert Some().models_dir == Path.home() / ".cache/merrflow/models"
    assert (Some().hub, Some().offline, Some().device, Some().dtype) == ("huggingface", False, "auto", "auto")
    monkeypatch.setenv("MERRFLOW_MODELS_DIR", str(tmp_path / "all"))
    monkeypatch.setenv("MERRFLOW_HUB", "modelscope")
    monkeypatch.setenv("MERRFLOW_OFFLINE", "yes")
    assert (Some().models_dir, Some().hub, Some().offline) == (tmp_path / "all", "modelscope", True)
    monkeypatch.setenv("MERRFLOW_SOME_MODELS_DIR", str(tmp_path / "one"))
    monkeypatch.setenv("MERRFLOW_SOME_OFFLINE", "false")
    assert (Some().models_dir, Some().offline) == (tmp_path / "one", False)
    monkeypatch.setenv("MERRFLOW_SOME_WEIGHTS", "~/w")
    assert Some().weights == str(Path.home() / "w")


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEVICE", "mps"), ("DEVICE", "cuda:x"), ("DTYPE", "int8"), ("HUB", "github"), ("ATTENTION", "x")],
)
def test_what_is_not_offered_is_refused_at_start(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"MERRFLOW_SOME_{name}", value)
    with pytest.raises(ValidationError):
        Some()


def test_a_hub_that_is_none_is_refused_wherever_it_is_set(monkeypatch) -> None:
    monkeypatch.setenv("MERRFLOW_HUB", "github")
    with pytest.raises(ValidationError, match="huggingface"):
        Some()


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, merrflow_serving.weights, merrflow_serving.weights.checkpoint, merrflow_serving.torch.settings, "
        "merrflow_serving.torch.device, merrflow_serving.torch.estimate, merrflow_serving.weights.pull; "
        "print([name for name in ('torch', 'transformers', 'safetensors', 'huggingface_hub', 'modelscope_hub') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- where ------------------------------------------------------------------------------------------------------------


def test_absent_gated_weights_give_every_step(tmp_path: Path) -> None:
    with pytest.raises(NotReady) as caught:
        locate("llama-3-8b-instruct", offline(tmp_path))
    text = str(caught.value)
    assert caught.value.reason == "MODEL_MISSING"
    assert "settings say offline" in text and "config.json" in text
    assert "(1) log in at https://huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct and accept the licence" in text
    assert "(2) make a token" in text and "HF_TOKEN" in text
    assert "(3) run: merrflow models pull llama-3-8b-instruct" in text
    assert "modelscope" not in text


def test_weights_that_no_hub_has_give_the_commands_for_the_folder(tmp_path: Path) -> None:
    place = offline(tmp_path, offline=False, models_dir=tmp_path / "my models")
    with pytest.raises(NotReady) as caught:
        locate("eva-vit-g", place)
    assert f"mkdir -p '{tmp_path}/my models/eva-vit-g' && curl -L" in str(caught.value)


def test_a_folder_of_ones_own_may_hold_one_entry_or_several(tmp_path: Path) -> None:
    own = tmp_path / "own"
    model_folder(own)
    place = offline(tmp_path, weights=str(own))
    assert locate("o/m", place) == own
    model_folder(own / "o--m")
    assert folder_of("o/m", place) == own / "o--m"
    assert not (own / "merrflow.json").exists()  # it is not ours to write to


def test_a_folder_of_ones_own_that_lacks_files(tmp_path: Path) -> None:
    own = model_folder(tmp_path / "own")
    (own / "config.json").unlink()
    with pytest.raises(NotReady, match=rf"{own}, which the setting WEIGHTS names, lacks config.json of o--m"):
        locate("o/m", offline(tmp_path, weights=str(own), offline=False))  # nothing is pulled into it
    with pytest.raises(NotReady, match="lacks"):
        locate("o/m", offline(tmp_path, weights=str(tmp_path / "nowhere")))


def test_known_sizes_and_sha256_hold_for_a_folder_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for file in entry("llama-2-7b-chat").files:
        (own / file.name).write_text("other bytes")
    with pytest.raises(NotReady) as caught:
        locate("llama-2-7b-chat", offline(tmp_path, weights=str(own)))
    assert caught.value.reason == "MODEL_DAMAGED"
    assert "model-00001-of-00002.safetensors has 11 bytes instead of 9976576152" in str(caught.value)
    assert "config.json has sha256" in str(caught.value)


def test_another_revision_that_a_person_names_is_used_with_a_warning(tmp_path: Path) -> None:
    """Known sizes and sha256 protect what is pulled; below models_dir the same files are refused."""
    pulled, own = tmp_path / "models" / "llama-2-7b-chat", tmp_path / "own"
    for folder in (pulled, own):
        model_folder(folder)
        (folder / "tokenizer.model").write_text("pieces")
    (pulled / "model.safetensors").rename(pulled / "model-00001-of-00002.safetensors")
    with pytest.raises(NotReady, match=r"model-00001-of-00002\.safetensors has \d+ bytes instead of 9976576152"):
        locate("llama-2-7b-chat", offline(tmp_path))
    place = offline(tmp_path, weights=str(own))
    with capture_logs() as logs:
        assert locate("llama-2-7b-chat", place) == own
    (line,) = logs
    assert line["log_level"] == "warning" and line["weights"] == "llama-2-7b-chat"
    assert "config.json has sha256" in line["differences"] and "tokenizer.model has 6 bytes" in line["differences"]
    first = revision("llama-2-7b-chat", place)
    assert first.startswith("sampled:")
    model_folder(own, seed=1)
    assert revision("llama-2-7b-chat", place) != first


def test_shards_of_any_name_count_for_the_revision(tmp_path: Path) -> None:
    own = model_folder(tmp_path / "own")
    (own / "model.safetensors").rename(own / "part-a.safetensors")
    (own / "model.safetensors.index.json").write_text('{"weight_map": {"x": "part-a.safetensors"}}')
    place = offline(tmp_path, weights=str(own))
    first = revision("o/m", place)
    data = bytearray((own / "part-a.safetensors").read_bytes())
    data[-1] ^= 1
    (own / "part-a.safetensors").write_bytes(data)
    assert revision("o/m", place) != first != ""


def test_a_file_is_hashed_once_for_each_change(tmp_path: Path, monkeypatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text("{}")
    sha = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of "{}"
    one = dataclasses.replace(entry("eva-vit-g"), files=(WeightFile("config.json", 2, sha),))
    store = tmp_path / "models"
    assert check(one, own, store).read == 1
    assert check(one, own, store).read == 0
    assert check(one, own, store, deep=True).read == 1
    (own / "config.json").write_text("[]")
    found = check(one, own, store)
    assert found.read == 1 and "config.json has sha256 4f53cda18c2baa0c" in found.damaged[0]
    assert [path.name for path in own.iterdir()] == ["config.json"]
    monkeypatch.setattr(files_module, "write_manifest", lambda *_: (_ for _ in ()).throw(OSError(30, "read-only")))
    assert not check(one, own, store).whole  # what cannot be remembered is still checked


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{}", "model.safetensors is damaged or cut short"),
        ("model.safetensors", b"", "model.safetensors is damaged or cut short"),
    ],
)
def test_cut_files_are_seen_without_known_sizes(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    own = model_folder(tmp_path / "own")
    (own / name).write_bytes(data)
    with pytest.raises(NotReady, match=said):
        locate("o/m", offline(tmp_path, weights=str(own)))


def test_a_folder_of_shards_must_have_them_all(tmp_path: Path) -> None:
    own = model_folder(tmp_path / "own")
    os.rename(own / "model.safetensors", own / "model-00001-of-00002.safetensors")
    names = {"x": "model-00001-of-00002.safetensors", "y": "model-00002-of-00002.safetensors"}
    (own / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(NotReady, match="lacks model-00002-of-00002.safetensors of 2 shards"):
        locate("o/m", offline(tmp_path, weights=str(own)))


def test_qwen_audio_is_whole_with_safetensors_or_pickles(tmp_path: Path) -> None:
    own = model_folder(tmp_path / "own")
    (own / "qwen.tiktoken").write_text("")
    place = offline(tmp_path, weights=str(own))
    assert locate("qwen-audio-chat", place) == own
    with_safetensors = revision("qwen-audio-chat", place)
    (own / "pytorch_model.bin").write_bytes(b"\x80" + (own / "model.safetensors").read_bytes())
    (own / "model.safetensors").unlink()
    assert locate("qwen-audio-chat", place) == own
    assert revision("qwen-audio-chat", place) != with_safetensors
    (own / "pytorch_model.bin").unlink()
    assert revision("qwen-audio-chat", place) == ""
    with pytest.raises(NotReady, match=r"lacks model.safetensors or pytorch_model.bin"):
        locate("qwen-audio-chat", place)


# -- what it is -------------------------------------------------------------------------------------------------------


def test_revision_stands_for_the_content_wherever_it_lies(tmp_path: Path) -> None:
    one, two = model_folder(tmp_path / "one"), model_folder(tmp_path / "elsewhere" / "two")
    other = model_folder(tmp_path / "other", seed=1)  # of the same sizes
    tell = {folder: revision("o/m", offline(tmp_path, weights=str(folder))) for folder in (one, two, other)}
    assert tell[one] == tell[two] != tell[other]
    assert tell[one].startswith("sampled:") and len(tell[one]) == len("sampled:") + 16
    os.utime(one / "model.safetensors", (1, 1))
    assert revision("o/m", offline(tmp_path, weights=str(one))) == tell[one]
    assert revision("o/m", offline(tmp_path)) == ""


def test_revision_is_the_commit_as_long_as_the_files_are_those(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "o--m")
    sampled = sample(folder, wanted_files(entry("o/m"), folder))
    write_manifest(folder, Manifest("o--m", "huggingface", "o/m", "c0ffee", sampled, {}))
    assert revision("o/m", offline(tmp_path)) == "c0ffee"
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert revision("o/m", offline(tmp_path, weights=str(copy))) == "c0ffee"
    save_file({"x": np.zeros(200_000, dtype=np.float32)}, folder / "model.safetensors")
    assert revision("o/m", offline(tmp_path)).startswith("sampled:")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"files": {"a": {"nonsense": 1}}}', '{"files": [], "x": 1}'])
def test_a_manifest_that_is_none_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "merrflow.json").write_text(text)
    assert read_manifest(tmp_path) == Manifest()


def test_manifests_come_back_as_written(tmp_path: Path) -> None:
    manifest = Manifest("m", "huggingface", "o/m", "c", "s", {"a": FileRecord(1, "x" * 64, 2)})
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["merrflow.json"]
