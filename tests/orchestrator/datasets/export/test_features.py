"""Features for Emotion-LLaMA, by tiny models with random weights, from real films."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

os.environ |= {"HF_HUB_OFFLINE": "1"}  # read when the library is imported

from merrflow.core.errors import InputError
from merrflow.core.measurements import Probe, Subject
from merrflow.core.records import Outcome, Record
from merrflow.datasets.export.export import export, faces_of
from merrflow.datasets.export.features import face_crops
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.export.clips import with_clips
from tests.orchestrator.datasets.export.merr_loader import load
from tests.orchestrator.datasets.report.runs import record, run
from tests.orchestrator.fakes import make_video

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
FOLDERS = ("mae_340_UTT", "maeV_399_UTT", "HL-UTT")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Options that name three models of the right kinds, 16 wide."""
    from transformers import HubertConfig, HubertModel, VideoMAEConfig, VideoMAEModel, ViTMAEConfig, ViTMAEModel

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(7)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    sound = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    made = {
        "face": ViTMAEModel(ViTMAEConfig(image_size=32, patch_size=16, decoder_num_hidden_layers=1, **small)),
        "video": VideoMAEModel(VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, **small)),
        "audio": HubertModel(
            HubertConfig(**small, **sound, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
        ),
    }
    for kind, model in made.items():
        model.save_pretrained(folder / kind)
        (folder / kind / "preprocessor_config.json").write_text(
            json.dumps({"feature_extractor_type": "Wav2Vec2FeatureExtractor", "return_attention_mask": True})
            if kind == "audio"
            else json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
        )
    return {f"{kind}_model": str(folder / kind) for kind in made}


def filmed(out: Path, *names: str) -> Ledger:
    def one(name: str) -> Record:
        whole = record(name)
        return replace(
            whole,
            probe=Probe(96, 64, 25.0, 12, 0.48, (), 0.48),
            subject=Subject(tuple((frame, 0) for frame in range(12)), 1, 1.0, "the only face"),
            peak=replace(whole.peak, index=4, box=(8.0, 8.0, 32.0, 32.0)),
        )

    ledger = run(out, [one(name) for name in names], size=(96, 64))
    with_clips(out, ledger, *names, film=True)
    return ledger


def vectors(folder: Path, name: str) -> list[np.ndarray]:
    return [np.load(folder / part / f"{name}.npy") for part in FOLDERS]


def test_every_clip_that_is_trained_on_has_its_three_vectors(tmp_path: Path, models: dict[str, str]) -> None:
    ledger = filmed(tmp_path, "0001", "b", "c", "gone", "broken", "mute")
    (tmp_path / "clips" / "gone.mp4").unlink()
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no film")
    make_video(tmp_path / "clips" / "mute.mp4", "grey", sound=False)
    done = export(ledger, tmp_path, "merr", options={"features": "true", "batch": "2", **models})
    assert done.left_out == {"a clip that is not where it was": 1, "a clip that cannot be decoded": 1}
    names = [sample.name for sample in load(done.folder, "fine")]
    assert names == ["0001", "b", "c", "mute"]
    for name in names:
        parts = vectors(done.folder, name)
        # as the class joins them
        joined = torch.cat([torch.tensor(part).unsqueeze(0) for part in parts], dim=0)
        assert joined.shape == (3, 16) and joined.dtype == torch.float32 and joined.isfinite().all()
        assert bool(parts[2].any()) == (name != "mute")
    assert "clips without sound, whose HL-UTT is zero: 1" in done.remarks
    assert json.loads((done.folder / "features.json").read_text())["HL-UTT"]["model"] == "audio"  # no path


def test_a_clips_vectors_do_not_depend_on_its_batch(tmp_path: Path, models: dict[str, str]) -> None:
    ledger = filmed(tmp_path, "a", "b", "c")
    make_video(tmp_path / "clips" / "b.mp4", "red", frames=40)  # a longer sound
    alone, together = (
        export(ledger, tmp_path, "merr", tmp_path / f"by{batch}", options={"features": "1", "batch": batch, **models})
        for batch in (1, 3)
    )
    for name in "abc":
        for one, other in zip(vectors(alone.folder, name), vectors(together.folder, name), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert not np.allclose(vectors(alone.folder, "a")[2], vectors(alone.folder, "b")[2])


def test_faces_are_taken_from_the_ledger_in_the_order_of_the_records(tmp_path: Path) -> None:
    ledger = filmed(tmp_path, "a", "b", "c")
    face = {"box": [8, 8, 32, 32], "confidence": 1, "pitch": 0, "yaw": 0, "roll": 0, "intensity": {}, "present": []}
    series = {"width": 96, "height": 64, "fps": 25, "measurable": []}
    series["frames"] = [{"index": 3, "timestamp": 0.1, "faces": [face]}]
    for name, payload in (("a", {"value": series}), ("b", {"value": "of another version"})):
        ledger.save_stage(name, "action_units", "print", StageRow(Outcome.DONE, "", json.dumps(payload).encode(), 1.0))
    found = dict(faces_of(ledger, {"a", "b"}))
    assert list(found) == ["a", "b", "c"] and found["b"] is found["c"] is None
    assert found["a"].frames[0].faces[0].box == (8, 8, 32, 32)
    assert dict(faces_of(ledger, {"b"}))["a"] is None


def test_crops_follow_the_face_and_may_lie_at_the_edge(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "a.mp4", "red")
    boxes = {frame: (float(frame), 8.0, 8.0, 16.0) for frame in range(12)}  # the white square of the film moves so
    crops = face_crops(clip, record("a"), boxes, 4, 32)
    assert crops.shape == (4, 32, 32, 3)
    assert (crops[:, 16, 16] > 200).all()  # white in every one
    assert face_crops(clip, record("a"), {11: (90.0, 60.0, 30.0, 30.0)}, 4, 32).shape == (4, 32, 32, 3)


@pytest.mark.parametrize("kind", ["face", "video", "audio"])
def test_a_model_that_cannot_be_had_is_one_sentence(tmp_path: Path, models: dict[str, str], kind: str) -> None:
    wrong = models | {f"{kind}_model": str(tmp_path / "nowhere")}
    with pytest.raises(InputError, match=f"{kind}_model=.*nowhere: cannot be loaded"):
        export(filmed(tmp_path, "a"), tmp_path, "merr", options={"features": "true", **wrong})
    assert list((tmp_path / "export").glob("merr*")) == []


def test_models_of_different_widths_are_refused(tmp_path: Path, models: dict[str, str]) -> None:
    from transformers import ViTMAEConfig, ViTMAEModel

    wide = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTMAEModel(ViTMAEConfig(image_size=32, **wide)).save_pretrained(tmp_path / "wide")
    (tmp_path / "wide" / "preprocessor_config.json").write_text("{}")
    wrong = models | {"face_model": str(tmp_path / "wide")}
    with pytest.raises(InputError, match="the models have face 32, video 16, audio 16"):
        export(filmed(tmp_path, "a"), tmp_path, "merr", options={"features": "true", **wrong})
