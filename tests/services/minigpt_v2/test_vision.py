"""The vision tower and the projection against the description, and their file's keys."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from merrflow_minigpt_v2.engines.minigpt_v2 import preprocessing, vision
from merrflow_serving.errors import NotReady
from tests.services.minigpt_v2 import reference
from tests.services.minigpt_v2.models import vision_encoder
from tests.services.minigpt_v2.tiny import SHAPE, make_files, picture

pytestmark = pytest.mark.usefixtures("one_thread")
GOLDEN = json.loads(reference.GOLDEN.read_text())


def prepared(image: np.ndarray) -> np.ndarray:
    return preprocessing.normalise(preprocessing.resize_image(image, SHAPE.image.size), SHAPE.image)


@pytest.fixture(scope="module")
def files():
    return make_files()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_encoder_and_projection_equal_the_description(files, attention):
    loaded = vision_encoder(files, attention=attention)
    ready = torch.from_numpy(prepared(picture(1)))
    with torch.no_grad():
        seen = loaded.tower(pixel_values=ready[None]).last_hidden_state[0]
    torch.testing.assert_close(seen, reference.encode(files.eva, ready), atol=2e-5, rtol=1e-5)
    (projected,) = loaded.encode([ready.numpy()])
    expected = reference.project(files.checkpoint, reference.encode(files.eva, ready)[1:])
    torch.testing.assert_close(projected, expected, atol=2e-5, rtol=1e-5)


def test_stored_numbers(files):
    ready = prepared(picture(reference.GOLDEN_PICTURE))
    assert reference.sampled(torch.from_numpy(ready)) == pytest.approx(GOLDEN["pixels"], abs=1e-4)
    loaded = vision_encoder(files)
    with torch.no_grad():
        seen = loaded.tower(pixel_values=torch.from_numpy(ready)[None]).last_hidden_state[0]
    assert list(seen.shape) == GOLDEN["shapes"]["encoder"]
    assert reference.sampled(seen) == pytest.approx(GOLDEN["encoder"], abs=1e-4)
    (projected,) = loaded.encode([ready])
    assert list(projected.shape) == GOLDEN["shapes"]["projection"]
    assert reference.sampled(projected) == pytest.approx(GOLDEN["projection"], abs=1e-4)


def test_the_norms_have_their_published_epsilons(files):
    """Too small to show in numbers of ordinary size."""
    norms = {name: module.eps for name, module in vision_encoder(files).tower.named_modules() if "norm" in name}
    assert norms.pop("post_layernorm") == 1e-5
    assert set(norms.values()) == {1e-6} and len(norms) == 2 * SHAPE.vision.layers


def test_a_picture_alone_and_among_others(files):
    loaded = vision_encoder(files)
    many = [prepared(picture(number, 40 + number, 70)) for number in range(5)]
    together = loaded.encode(many)
    for one, among in zip(many, together, strict=True):
        torch.testing.assert_close(loaded.encode([one])[0], among, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("grid", [2, 3, 5])
def test_position_embedding_is_stretched_bicubically(grid):
    embedding = torch.from_numpy(np.random.RandomState(grid).standard_normal((1, 1 + grid * grid, 6))).half()
    found = vision.interpolated(embedding, 4)
    assert found.dtype == torch.float32 and found.shape == (1, 17, 6)
    assert torch.equal(found[0, 0], embedding[0, 0].float())  # the class token's place
    torch.testing.assert_close(found[0], reference.positions(embedding, 4), atol=1e-5, rtol=1e-5)


def test_a_position_embedding_of_the_right_grid_is_taken_as_it_is():
    embedding = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 17, 6))).half()
    assert torch.equal(vision.interpolated(embedding, 4), embedding.float())


def test_ln_vision_of_the_checkpoint_is_used_where_it_has_one(files):
    ready = prepared(picture(2))
    (plain,) = vision_encoder(files).encode([ready])
    other = make_files()
    width = SHAPE.vision.width
    other.checkpoint["ln_vision.weight"] = torch.full((width,), 2.0)
    other.checkpoint["ln_vision.bias"] = torch.zeros(width)
    (doubled,) = vision_encoder(other).encode([ready])
    bias = files.checkpoint["llama_proj.bias"]
    torch.testing.assert_close(doubled - bias, 2 * (plain - bias), atol=1e-4, rtol=1e-4)


def test_in_half_precision_the_residual_stream_stays_float32(files):
    loaded = vision_encoder(files, dtype=torch.bfloat16)
    kinds = {name: parameter.dtype for name, parameter in loaded.tower.named_parameters()}
    halves = {name.split(".", 3)[-1] for name, kind in kinds.items() if kind == torch.float16}
    matrices = ("self_attn.qkv", "self_attn.projection", "mlp.fc1", "mlp.fc2")
    assert halves == {f"{name}.{kind}" for name in matrices for kind in ("weight", "bias")}
    streams = []
    for layer in loaded.tower.encoder.layers:
        layer.register_forward_hook(lambda module, given, result: streams.append(result.dtype))
    ready = prepared(picture(reference.GOLDEN_PICTURE))
    (half,) = loaded.encode([ready])
    assert streams == [torch.float32] * SHAPE.vision.layers
    (whole,) = vision_encoder(files).encode([ready])
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), whole, atol=0.03, rtol=0.03)


def test_surplus_of_the_original_file_is_ignored(files):
    surplus = {key for key in files.eva if key.startswith(("blocks.2.", "norm.", "fc_norm.", "head."))}
    assert len(surplus) == 13 + 6
    ready = prepared(picture(reference.GOLDEN_PICTURE))
    (before,) = vision_encoder(files).encode([ready])
    other = make_files()
    other.eva = {key: value for key, value in other.eva.items() if key not in surplus}
    assert torch.equal(vision_encoder(other).encode([ready])[0], before)


@pytest.mark.parametrize("key", vision.file_keys(SHAPE.vision.layers))
def test_each_key_is_needed_by_its_name_and_shape(files, key):
    missing = make_files()
    del missing.eva[key]
    with pytest.raises(NotReady, match=f"missing: {key}[.]"):
        vision_encoder(missing)
    renamed = make_files()
    renamed.eva[f"visual.{key}"] = renamed.eva.pop(key)
    with pytest.raises(NotReady, match=f"missing: {key}; unexpected: visual.{key}"):
        vision_encoder(renamed)
    cut = make_files()
    cut.eva[key] = cut.eva[key][..., :-1]
    with pytest.raises(NotReady, match=key):
        vision_encoder(cut)


@pytest.mark.parametrize("key", ["llama_proj.weight", "llama_proj.bias"])
def test_a_misshapen_projection_is_named(files, key):
    cut = make_files()
    cut.checkpoint[key] = cut.checkpoint[key][:-1]
    with pytest.raises(NotReady, match=key):
        vision_encoder(cut)
