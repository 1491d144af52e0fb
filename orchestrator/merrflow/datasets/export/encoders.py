"""Three encoders from transformers, by name: MAE for faces, VideoMAE for films, HuBERT for sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merrflow.core.errors import InputError
from merrflow.datasets.export.text import one_line

FACE, VIDEO, AUDIO = "face", "video", "audio"
RATE = 16_000
_SHORTEST = 400  # samples: what HuBERT's first layers need for one frame
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, if a model does not say its own


@dataclass(frozen=True)
class Encoders:
    """The loaded models. `encode` is deterministic for the same batches on the same device."""

    models: Mapping[str, Any]
    scales: Mapping[str, tuple[Any, Any]]  # mean and deviation of pixels, for FACE and VIDEO
    extractor: Any  # what prepares a sound
    origins: Mapping[str, Mapping[str, str]]  # model and revision of each
    device: str

    @classmethod
    def load(cls, names: Mapping[str, str], device: str) -> Encoders:
        """Loads them in float32. Raises `InputError` if a library, a model or the device cannot be had."""
        try:
            import torch
            from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
            from transformers.image_processing_base import ImageProcessingMixin
        except ImportError as error:
            raise InputError(
                f"the option features needs torch and transformers ({error}): pip install merrflow[features]"
            ) from None
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        models, scales, origins = {}, {}, {}
        for kind, name in names.items():
            try:
                # of models that know it, so that every patch is seen, and none drawn
                config = AutoConfig.from_pretrained(name, mask_ratio=0.0)
                models[kind] = AutoModel.from_pretrained(name, config=config).eval().to(chosen)
                if kind == AUDIO:
                    extractor = AutoFeatureExtractor.from_pretrained(name)  # type: ignore[no-untyped-call]  # its own gap
                else:
                    how, _ = ImageProcessingMixin.get_image_processor_dict(name)
                    scales[kind] = (how.get("image_mean") or _MEAN, how.get("image_std") or _STD)
            except (OSError, ValueError, RuntimeError, AttributeError) as error:
                raise InputError(f"{kind}_model={name}: cannot be loaded ({one_line(str(error))[:300]})") from error
            known_as = Path(name).name if Path(name).is_dir() else name  # no path of this machine
            origins[kind] = {"model": known_as, "revision": str(getattr(config, "_commit_hash", None) or "")}
        widths = {kind: model.config.hidden_size for kind, model in models.items()}
        if len(set(widths.values())) > 1:
            told = ", ".join(f"{kind} {width}" for kind, width in widths.items())
            raise InputError(
                f"the option features: Emotion-LLaMA joins vectors of one width, and the models have {told}"
            )
        return cls(models, scales, extractor, origins, chosen)

    @property
    def frames(self) -> int:
        """How many frames a film has for VideoMAE."""
        return int(getattr(self.models[VIDEO].config, "num_frames", 16))

    @property
    def side(self) -> int:
        """Pixels of a square crop."""
        return max(int(self.models[kind].config.image_size) for kind in (FACE, VIDEO))

    def encode(self, clips: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
        """(clips, width) float32 by kind. clips: crops (frames, side, side, 3) uint8, sound (samples,) float32."""
        import torch

        films = np.stack([crops for crops, _ in clips])
        with torch.inference_mode():
            faces = torch.stack([self._tokens(FACE, self._pixels(FACE, film)).mean(0) for film in films])
            moving = self._tokens(VIDEO, torch.stack([self._pixels(VIDEO, film) for film in films]))
            heard = self._heard([sound for _, sound in clips])
        found = {FACE: faces, VIDEO: moving, AUDIO: heard}
        return {kind: vectors.float().cpu().numpy() for kind, vectors in found.items()}

    def _tokens(self, kind: str, pixels: Any) -> Any:
        """(items, width): the mean over each item's tokens."""
        return self.models[kind](pixel_values=pixels).last_hidden_state.mean(1)

    def _pixels(self, kind: str, film: np.ndarray) -> Any:
        """(frames, 3, size, size), as the model was trained on."""
        import torch

        mean, std = (torch.tensor(part, device=self.device).view(1, 3, 1, 1) for part in self.scales[kind])
        pixels = torch.from_numpy(film).to(self.device).permute(0, 3, 1, 2).float() / 255
        size = int(self.models[kind].config.image_size)
        if pixels.shape[-1] != size:
            pixels = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        return (pixels - mean) / std

    def _heard(self, sounds: Sequence[np.ndarray]) -> Any:
        """(clips, width); zero for a clip without sound. Models that know no mask take each sound by itself."""
        import torch

        model = self.models[AUDIO]
        found = torch.zeros(len(sounds), model.config.hidden_size, device=self.device)
        audible = [number for number, sound in enumerate(sounds) if sound.size >= _SHORTEST]
        step = len(audible) if getattr(self.extractor, "return_attention_mask", False) else 1
        for start in range(0, len(audible), step or 1):
            part = audible[start : start + step]
            ready = self.extractor(
                [sounds[number] for number in part], sampling_rate=RATE, padding=len(part) > 1, return_tensors="pt"
            )
            mask = ready.get("attention_mask") if step > 1 else None
            states = model(
                ready["input_values"].to(self.device), attention_mask=None if mask is None else mask.to(self.device)
            ).last_hidden_state
            if mask is None:
                found[part] = states.mean(1)
            else:
                kept = model._get_feature_vector_attention_mask(states.shape[1], mask.to(self.device)).unsqueeze(-1)
                found[part] = (states * kept).sum(1) / kept.sum(1)
        return found
