"""Tensors from files, and modules from tensors."""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.checkpoint import fill, parameters_on_meta, read_tensors

torch.set_num_threads(1)


class Block(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.fc1 = torch.nn.Linear(width, 2 * width)
        self.fc2 = torch.nn.Linear(2 * width, width)
        self.register_buffer("sinusoid", torch.arange(width).sin(), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))


class Net(torch.nn.Module):
    """Tied embeddings, numbered layers, a buffer in the file and one that is not."""

    def __init__(self, width: int = 4, layers: int = 3, tied: bool = True) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(11, width)
        self.layers = torch.nn.ModuleList(Block(width) for _ in range(layers))
        self.head = torch.nn.Linear(width, 11, bias=False)
        if tied:
            self.head.weight = self.embed.weight


def seeded(**shape: int) -> Net:
    torch.manual_seed(7)
    net = Net(**shape)
    for tensor in net.parameters():
        torch.nn.init.normal_(tensor)
    for layer in net.layers:
        layer.steps.fill_(3)
    return net


def on_disk(net: Net) -> dict[str, torch.Tensor]:
    """The net under the names a foreign file gives it."""
    return {
        key.replace("layers.", "blocks.").replace("fc1", "mlp.0").replace("fc2", "mlp.2"): value
        for key, value in net.state_dict().items()
    }


def rename(key: str) -> str | None:
    if key.startswith("ignored."):
        return None
    return key.replace("blocks.", "layers.").replace("mlp.0", "fc1").replace("mlp.2", "fc2")


def filled(tensors, dtype=torch.float32, **shape: int) -> Net:
    with parameters_on_meta():
        net = Net(**shape)
    fill(net, tensors, rename=rename, dtype=dtype, device="cpu", origin="net.pth")
    return net


# -- pickles ----------------------------------------------------------------------------------------------------------


def test_pth_is_read_without_its_other_content(tmp_path: Path) -> None:
    net = seeded()
    path = tmp_path / "net.pth"
    torch.save({"model": on_disk(net), "optimizer": {"state": {}}, "epoch": 3, "config": {"a": [1, 2]}}, path)
    tensors = read_tensors(path, "model")
    assert set(tensors) == set(on_disk(net))
    for key, value in on_disk(net).items():
        assert torch.equal(tensors[key], value), key


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool, torch.uint8])
def test_formats_are_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    value = torch.arange(6).reshape(2, 3).to(dtype)
    torch.save({"x": value, "scalar": value[0, 1].clone(), "empty": value[:0]}, tmp_path / "a.pth")
    tensors = read_tensors(tmp_path / "a.pth")
    assert {key: (one.dtype, tuple(one.shape)) for key, one in tensors.items()} == {
        "x": (dtype, (2, 3)),
        "scalar": (dtype, ()),
        "empty": (dtype, (0, 3)),
    }
    assert torch.equal(tensors["x"], value) and torch.equal(tensors["scalar"], value[0, 1])


def test_old_pickles_that_are_no_archive(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "old.pth")["x"], torch.ones(3))


class Runs:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("named", ["argparse.Namespace", "system"])
def test_pickles_with_more_than_tensors_are_refused(tmp_path: Path, named: str) -> None:
    guest = Runs(tmp_path / "was-run") if named == "system" else argparse.Namespace(a=1)
    torch.save({"model": {"x": torch.ones(3)}, "args": guest}, tmp_path / "a.pth")
    with pytest.raises(NotReady, match=f"holds more than tensors.*{named}.*refused") as caught:
        read_tensors(tmp_path / "a.pth", "model")
    assert caught.value.reason == "MODEL_REFUSED"
    assert not (tmp_path / "was-run").exists()


def test_inside_that_is_not_there_lists_what_is(tmp_path: Path) -> None:
    torch.save({"state": {"x": torch.ones(1)}, "epoch": 1}, tmp_path / "a.pth")
    with pytest.raises(NotReady, match="no 'model'; it has: state, epoch"):
        read_tensors(tmp_path / "a.pth", "model")
    with pytest.raises(NotReady, match="holds no tensors; dictionaries within: state"):
        read_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_cut_pth_is_said_to_be_cut(tmp_path: Path, keep: float) -> None:
    torch.save({"x": torch.rand(1000)}, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(NotReady, match="a.pth is damaged or cut short") as caught:
        read_tensors(tmp_path / "a.pth")
    assert caught.value.reason == "MODEL_DAMAGED"


def test_a_compressed_archive_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as plain, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(NotReady, match=r"b.pth is a compressed archive \(a/data.pkl\)") as caught:
        read_tensors(tmp_path / "b.pth")
    assert caught.value.reason == "MODEL_REFUSED"


@pytest.mark.parametrize("metadata", [[], 3, {"format": 3}], ids=["a list", "a number", "not of strings"])
def test_metadata_that_are_none_are_an_error_of_ours(tmp_path: Path, metadata: object) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"x": entry, "__metadata__": metadata}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(NotReady, match="m.safetensors is damaged"):
        read_tensors(tmp_path / "m.safetensors")


def test_pickles_are_read_anew_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"x": torch.ones(3)}, path)
    assert read_tensors(path)["x"].sum() == 3
    torch.save({"x": torch.zeros(3)}, path)
    assert read_tensors(path)["x"].sum() == 0
    assert [one.name for one in tmp_path.iterdir()] == ["a.pth"]


def test_shared_and_overlapping_tensors_survive(tmp_path: Path) -> None:
    base = torch.rand(6, 4)
    torch.save({"embed": base, "head": base, "q": base[:2], "k": base[2:4], "t": base.T}, tmp_path / "a.pth")
    tensors = read_tensors(tmp_path / "a.pth")
    assert tensors["head"].data_ptr() == tensors["embed"].data_ptr()
    assert torch.equal(tensors["head"], base) and torch.equal(tensors["q"], base[:2])
    assert torch.equal(tensors["k"], base[2:4]) and torch.equal(tensors["t"], base.T)


def test_reading_keeps_memory_near_one_tensor(tmp_path: Path) -> None:
    """64 MB in 32 tensors: the process grows by the mapped pages it read, not by a second copy of the whole."""
    content = {f"x{number}": torch.full((512, 1024), float(number)) for number in range(32)}
    torch.save(content, tmp_path / "a.pth")
    save_file(content, tmp_path / "a.safetensors")
    del content
    for name in ("a.pth", "a.safetensors"):
        before = peak = anonymous()
        tensors = read_tensors(tmp_path / name)
        for number in range(32):
            assert tensors[f"x{number}"].clone().mean() == number
            peak = max(peak, anonymous())
        assert peak - before < 16 << 20, name


def anonymous() -> int:
    """Bytes of memory that is this process's own, mapped files not counted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError


# -- safetensors and folders ------------------------------------------------------------------------------------------


def sharded(folder: Path, tensors: dict[str, torch.Tensor], suffix: str = "safetensors") -> None:
    folder.mkdir(exist_ok=True)
    base = "model" if suffix == "safetensors" else "pytorch_model"
    keys = sorted(tensors)
    names = [f"{base}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    parts = [keys[: len(keys) // 2], keys[len(keys) // 2 :]]
    for name, part in zip(names, parts, strict=True):
        content = {key: tensors[key].clone() for key in part}
        save_file(content, folder / name) if suffix == "safetensors" else torch.save(content, folder / name)
    placed = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    (folder / f"{base}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded_folders(tmp_path: Path, suffix: str) -> None:
    tensors = on_disk(seeded())
    sharded(tmp_path / "m", tensors, suffix)
    found = read_tensors(tmp_path / "m")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[key], value) for key, value in tensors.items())


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    sharded(tmp_path / "m", on_disk(seeded()))
    (tmp_path / "m" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(NotReady, match="lacks model-00002-of-00002.safetensors of 2 shards"):
        read_tensors(tmp_path / "m")


def test_a_key_that_the_index_promises_and_no_shard_has(tmp_path: Path) -> None:
    sharded(tmp_path / "m", on_disk(seeded()))
    index = tmp_path / "m" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["gone.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(content))
    with pytest.raises(NotReady, match=r"model-00001-of-00002.safetensors lacks gone.weight"):
        read_tensors(tmp_path / "m")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", ""])
def test_an_index_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    sharded(tmp_path / "m", on_disk(seeded()))
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(NotReady, match="damaged"):
        read_tensors(tmp_path / "m")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', "{nonsense"])
def test_an_index_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(NotReady, match="damaged"):
        read_tensors(tmp_path)


def test_a_folder_without_weights_and_a_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="holds no weights"):
        read_tensors(tmp_path)
    with pytest.raises(NotReady, match="does not exist"):
        read_tensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 40, -1, -100])
def test_cut_safetensors(tmp_path: Path, keep: int) -> None:
    save_file({"x": torch.rand(100)}, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(data[:keep])
    with pytest.raises(NotReady, match="a.safetensors is damaged or cut short"):
        read_tensors(tmp_path / "a.safetensors")


@given(junk=st.binary(max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_no_safetensors_are_an_error_of_ours(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "j.safetensors").write_bytes(junk)
    try:
        tensors = read_tensors(tmp_path / "j.safetensors")
    except NotReady:
        return
    assert len(tensors) == 0  # a valid empty file is nearly impossible, and harmless


# -- fill -------------------------------------------------------------------------------------------------------------


def test_fill_gives_the_same_numbers_and_keeps_ties(tmp_path: Path) -> None:
    net = seeded()
    torch.save({"model": on_disk(net) | {"ignored.x": torch.ones(2)}}, tmp_path / "net.pth")
    found = filled(read_tensors(tmp_path / "net.pth", "model"))
    for key, value in net.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key
    assert found.head.weight is found.embed.weight
    assert torch.equal(found.layers[1].sinusoid, net.layers[1].sinusoid)  # in no file: computed at building
    assert int(found.layers[0].steps) == 3
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_fill_takes_one_name_of_a_tied_tensor() -> None:
    tensors = on_disk(seeded())
    del tensors["head.weight"]
    found = filled(tensors)
    assert found.head.weight is found.embed.weight and torch.equal(found.embed.weight, tensors["embed.weight"])


def test_fill_refuses_two_values_for_a_tied_tensor() -> None:
    tensors = on_disk(seeded())
    tensors["head.weight"] = tensors["head.weight"] + 1
    with pytest.raises(NotReady, match=r"embed.weight and head.weight differ, but .* ties them"):
        filled(tensors)


def test_fill_casts_floats_only_and_as_told() -> None:
    def form(name: str) -> torch.dtype:
        return torch.float32 if "norm" in name else torch.bfloat16

    found = filled(on_disk(seeded()), dtype=form)
    assert found.layers[0].norm.weight.dtype == torch.float32
    assert found.layers[0].fc1.weight.dtype == torch.bfloat16
    assert found.layers[0].steps.dtype == torch.int64
    assert found.layers[0].sinusoid.dtype == torch.float32


@pytest.mark.parametrize("key", sorted(on_disk(seeded())))
def test_every_dropped_key_is_named_as_the_file_names_it(key: str) -> None:
    if key == "head.weight" or key == "embed.weight":
        return  # the other name of the tie suffices, see above
    tensors = on_disk(seeded())
    del tensors[key]
    with pytest.raises(NotReady, match=rf"net.pth does not fit the model: missing: {key}\. ") as caught:
        filled(tensors)
    assert caught.value.reason == "MODEL_MISMATCH"


@pytest.mark.parametrize("key", ["blocks.1.mlp.0.weight", "blocks.2.norm.bias", "blocks.0.steps"])
def test_a_renamed_key_is_named_both_ways(key: str) -> None:
    tensors = OrderedDict(on_disk(seeded()))
    tensors[key + "_new"] = tensors.pop(key)
    with pytest.raises(NotReady, match=rf"missing: {key}; unexpected: {key}_new \(as {rename(key)}_new\)\."):
        filled(tensors)


def test_a_tied_pair_that_lacks_is_one_missing_tensor() -> None:
    tensors = on_disk(seeded())
    del tensors["head.weight"], tensors["embed.weight"]
    with pytest.raises(NotReady, match=r"missing: embed\.weight\. "):
        filled(tensors)


def test_shapes_are_compared_before_anything_is_given() -> None:
    tensors = on_disk(seeded())
    tensors["blocks.1.mlp.0.weight"] = torch.zeros(8, 5)
    with parameters_on_meta():
        net = Net()
    with pytest.raises(NotReady, match=r"of another shape: blocks.1.mlp.0.weight: 8x5, not 8x4"):
        fill(net, tensors, rename=rename, dtype=torch.float32, device="cpu", origin="net.pth")
    assert all(parameter.is_meta for parameter in net.parameters())


def test_two_keys_for_one_tensor() -> None:
    tensors = on_disk(seeded())
    tensors["layers.0.norm.bias"] = tensors["blocks.0.norm.bias"]
    with pytest.raises(NotReady, match=r"twice: layers.0.norm.bias and blocks.0.norm.bias \(both layers.0.norm.bias\)"):
        filled(tensors)


def test_long_lists_are_cut_and_counted() -> None:
    with pytest.raises(NotReady, match=r"\.\.\. \(22 in all\)"):
        filled({})


def test_buffers_without_data_are_a_fault_of_the_engine() -> None:
    with torch.device("meta"):
        net = Net()
    with pytest.raises(RuntimeError, match=r"layers.0.sinusoid.*parameters_on_meta"):
        fill(net, on_disk(seeded()), rename=rename, dtype=torch.float32, device="cpu", origin="net.pth")


def test_filled_tensors_outlive_their_file(tmp_path: Path) -> None:
    net = seeded(tied=False)
    save_file({key: value.contiguous() for key, value in on_disk(net).items()}, tmp_path / "a.safetensors")
    found = filled(read_tensors(tmp_path / "a.safetensors"), tied=False)
    (tmp_path / "a.safetensors").write_bytes(b"")  # a mapped page behind it would end the process here
    assert torch.equal(found.head.weight, net.head.weight)


def test_meta_building_leaves_torch_as_it_was() -> None:
    register = torch.nn.Module.register_parameter
    with pytest.raises(ZeroDivisionError), parameters_on_meta():
        _ = 1 / 0
    assert torch.nn.Module.register_parameter is register
    assert not torch.nn.Linear(2, 2).weight.is_meta
