"""ShareGPT exports read by LLaMA-Factory's own loader, converter and plugin, where it is installed.

pip install --no-deps llamafactory peft trl torchaudio
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1"}

from merrflow.datasets.export.export import export
from tests.orchestrator.datasets.export.clips import with_clips
from tests.orchestrator.datasets.report.runs import record, run

why = "LLaMA-Factory is not installed"
loader = pytest.importorskip("llamafactory.data.loader", reason=why, exc_type=ImportError)
parser = pytest.importorskip("llamafactory.data.parser", reason=why)
plugins = pytest.importorskip("llamafactory.data.mm_plugin", reason=why)


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """An export with sound, in another folder than it was written to, whose run and clips are gone."""
    ledger = run(tmp_path / "run", [record("0001"), record("b", "sad")])
    with_clips(tmp_path / "run", ledger, "0001", "b", film=True)
    folder = export(ledger, tmp_path / "run", "sharegpt", options={"audio": True}).folder
    shutil.copytree(folder, tmp_path / "moved")
    shutil.rmtree(tmp_path / "run")
    return tmp_path / "moved"


def loaded(folder: Path, name: str, cache: Path) -> list[dict]:
    (attributes,) = parser.get_dataset_list([name], str(folder))
    data = SimpleNamespace(
        dataset_dir=str(folder),
        media_dir=str(folder),
        streaming=False,
        preprocessing_num_workers=None,
        max_samples=None,
        overwrite_cache=True,
    )
    model = SimpleNamespace(cache_dir=str(cache), hf_hub_token=None)
    return list(loader._load_single_dataset(attributes, model, data, SimpleNamespace(local_process_index=0)))


@pytest.mark.parametrize("name", ["image", "video", "omni"])
def test_it_loads_after_a_move(moved: Path, tmp_path: Path, name: str) -> None:
    rows = loaded(moved, f"merrflow_{name}", tmp_path / "cache")
    assert len(rows) == 2
    for row in rows:
        media = {kind: row[f"_{kind}"] or [] for kind in ("images", "videos", "audios")}
        assert [bool(paths) for paths in media.values()] == [name == "image", name != "image", name == "omni"]
        assert all(
            Path(path).is_relative_to(moved) and Path(path).is_file() for paths in media.values() for path in paths
        )
        assert row["_response"][0]["content"] == "The smile and the bright voice tell of joy."
        plugin = plugins.get_mm_plugin("base", "<image>", "<video>", "<audio>")
        plugin._validate_messages(row["_prompt"], *media.values())  # as many placeholders as files


def test_the_plugin_of_qwen_omni_reads_film_and_sound(moved: Path, tmp_path: Path) -> None:
    import torch
    from transformers import WhisperFeatureExtractor

    def patches(videos: list, return_tensors: str) -> dict:  # the real one needs torchvision
        grid = torch.tensor([[len(frames) // 2, 2, 2] for frames in videos])
        return {"pixel_values_videos": torch.zeros(int(grid.prod(1).sum()), 8), "video_grid_thw": grid}

    row = loaded(moved, "merrflow_omni", tmp_path / "cache")[0]
    plugin = plugins.get_mm_plugin("qwen2_omni", "<|IMAGE|>", "<|VIDEO|>", "<|AUDIO|>", vision_bos_token="<|v|>")
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(merge_size=2, temporal_patch_size=2),
        video_processor=patches,
        feature_extractor=WhisperFeatureExtractor(feature_size=128),
    )
    (message,) = plugin.process_messages(row["_prompt"], [], row["_videos"], row["_audios"], processor)
    assert message["content"].count("<|VIDEO|>") > 0 and message["content"].count("<|AUDIO|>") > 0
    assert "<video>" not in message["content"] and "<audio>" not in message["content"]
    inputs = plugin._get_mm_inputs([], row["_videos"], row["_audios"], processor)
    assert {"pixel_values_videos", "video_grid_thw", "input_features", "feature_attention_mask"} <= set(inputs)
