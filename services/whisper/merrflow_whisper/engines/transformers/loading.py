"""Which class a checkpoint is for, and the model on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from merrflow_serving.errors import NotReady
from merrflow_serving.torch.device import BatchLimit, attention_of, device_of, dtype_of
from merrflow_serving.torch.pretrained import load_pretrained
from merrflow_whisper.engines.transformers.other import Ctc, SequenceToSequence
from merrflow_whisper.engines.transformers.recogniser import Recogniser
from merrflow_whisper.engines.transformers.whisper import Whisper
from merrflow_whisper.rules import Rules
from merrflow_whisper.settings import WhisperSettings

WHAT = "model of speech recognition"


def read_config(folder: Path) -> Any:
    """The checkpoint's config. Raises `NotReady` if it cannot be read, or transformers has no code for it."""
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # OSError, ValueError, KeyError: for a file that is missing, no JSON, or unknown
        raise NotReady(f"{folder}: the model's config cannot be read: {error}", reason="MODEL_UNREADABLE") from error


def kind_of(config: Any, folder: Path) -> Any:
    """The class of transformers. Raises `NotReady` if the checkpoint is no model of speech recognition."""
    for kind in (AutoModelForSpeechSeq2Seq, AutoModelForCTC):
        if type(config) in kind._model_mapping:
            return kind
    raise NotReady(f"{folder} is a {config.model_type!r}, which is no {WHAT}", reason="MODEL_MISMATCH")


def open_recogniser(
    folder: Path, settings: WhisperSettings, rules: Rules, most_at_once: Mapping[str, int]
) -> Recogniser:
    """The model of a folder, loaded. Raises `NotReady` that names what is missing or does not fit."""
    config = read_config(folder)
    kind = kind_of(config, folder)
    device = device_of(settings)
    if device.type == "cpu" and settings.threads:
        torch.set_num_threads(settings.threads)
    model = load_pretrained(
        kind,
        folder,
        what=WHAT,
        device=device,
        dtype=dtype_of(settings, device),
        attention=attention_of(settings, device),
    )
    model.train(False)
    if isinstance(config, WhisperConfig):
        assert isinstance(model, WhisperForConditionalGeneration)
        return Whisper(model, folder, rules, BatchLimit(most_at_once[device.type]))
    return Ctc(model, folder, rules) if kind is AutoModelForCTC else SequenceToSequence(model, folder, rules)
