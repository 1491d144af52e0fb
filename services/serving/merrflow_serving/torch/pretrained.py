"""A model on a class of transformers, from a folder in Hugging Face's format. Imports torch and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils.logging import disable_progress_bar

from merrflow_serving.errors import NotReady
from merrflow_serving.torch.lost import is_out_of_memory
from merrflow_serving.weights.checkpoint import warn_unused
from merrflow_serving.weights.names import listed
from merrflow_serving.weights.pickles import read_pickle
from merrflow_serving.weights.tensorfiles import files_of_kind


def load_pretrained(
    kind: Any, path: Path, *, what: str, device: torch.device, dtype: torch.dtype, attention: str
) -> Any:
    """The model at `path`: a folder with safetensors or, without them, pickles of tensors; or a GGUF file (which is
    unpacked to full precision).

    kind: one of transformers' Auto classes. what: what such a model does, for the error.
    No code from the folder runs, and of a pickle only tensors are read. Tensors that the model does not have are a
    warning. Raises `NotReady` that names missing or misshapen tensors, broken files, or whatever else is wrong.
    """
    # transformers annotates only part of its API.
    disable_progress_bar()  # type: ignore[no-untyped-call]  # a service's standard error is its log
    from_file = path.suffix == ".gguf"
    where: dict[str, Any] = {"gguf_file": path.name} if from_file else {"use_safetensors": _has_safetensors(path)}
    folder = path.parent if from_file else path
    try:
        if not from_file:
            _check_known(kind, folder, what)
        model, found = kind.from_pretrained(
            folder, dtype=dtype, device_map={"": device}, attn_implementation=attention, local_files_only=True,
            trust_remote_code=False, weights_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **where,
        )  # fmt: skip
    except NotReady:
        raise
    except ImportError as error:
        raise NotReady(f"{path} needs a package that is not installed: {error}") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise NotReady(f"the weights in {path} do not fit into the memory of {device}: {error}") from error
        known = isinstance(error, (OSError, ValueError, KeyError, RuntimeError, TypeError))
        if known or type(error).__name__ == "SafetensorError":
            raise NotReady(f"{path} cannot be loaded: {error}") from error
        raise
    _check_keys(path, found)
    return model


def _has_safetensors(folder: Path) -> bool:
    """Raises `NotReady` for a pickle that holds more than tensors, of which transformers would say less."""
    if files_of_kind(folder, "safetensors"):
        return True
    files = files_of_kind(folder, "bin") or {}
    for file in files:
        read_pickle(file)
    return not files


def _check_known(kind: Any, folder: Path, what: str) -> None:
    """Raises `NotReady` for a model that transformers itself has no code for."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if type(config) not in kind._model_mapping:
        raise NotReady(f"{folder} is a {config.model_type!r}, which is no {what}")


def _check_keys(path: Path, found: dict[str, Any]) -> None:
    names = {
        word: sorted(str(key[0] if isinstance(key, tuple) else key) for key in found.get(f"{kind}_keys") or ())
        for kind, word in (("missing", "missing"), ("unexpected", "unexpected"), ("mismatched", "of another shape"))
    }
    if names["missing"] or names["of another shape"]:
        problems = "; ".join(f"{word}: {listed(keys)}" for word, keys in names.items() if keys)
        raise NotReady(f"the weights in {path} are not those of their config.json ({problems}); get the folder again")
    warn_unused(names["unexpected"], str(path))
