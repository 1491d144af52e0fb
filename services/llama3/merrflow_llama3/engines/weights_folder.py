"""Where an engine's weights are: an entry of the table of weights, a repository, a folder, or a GGUF file."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from merrflow_llama3 import gguf_files
from merrflow_llama3.settings import Llama3Settings
from merrflow_serving import weights
from merrflow_serving.errors import MerrflowError, NotReady
from merrflow_serving.packaged import file_sha256

_READ = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_PART = 1 << 16
_PARTS = 64  # of each file of tensors, evenly spread


class WeightsFolder:
    """The weights that the settings name: `weights`, or without it the entry or repository `model`."""

    def __init__(self, settings: Llama3Settings) -> None:
        self._settings = settings
        self._own = Path(settings.weights) if settings.weights else None

    @property
    def name(self) -> str:
        """The entry, or the folder's or file's name."""
        return self._own.name if self._own else self._settings.model

    @property
    def licence(self) -> str:
        """From the table of weights or the GGUF file; empty for a folder given in `weights`."""
        try:
            if self._own is None:
                return weights.entry(self._settings.model).licence
            return gguf_files.header(self._own).licence if self._is_file else ""
        except MerrflowError:
            return ""

    @property
    def _is_file(self) -> bool:
        return self._own is not None and self._own.suffix == ".gguf"

    def revision(self) -> str:
        """What identifies the weights; empty if there are none. Reads at most 4 MiB of each file of a folder."""
        try:
            if self._own is None:
                return weights.revision(self._settings.model, self._settings)
            path = self.locate()
            return f"sha256:{file_sha256(path)}" if self._is_file else f"sampled:{_fingerprint(path, _state(path))}"
        except (MerrflowError, OSError):
            return ""

    def locate(self) -> Path:
        """The folder or GGUF file. Raises `NotReady` that says what to do."""
        if self._own is None:
            return weights.locate(self._settings.model, self._settings)
        if self._is_file:
            if not self._own.is_file():
                raise NotReady(f"{self._own} does not exist; set MERRFLOW_LLAMA3_WEIGHTS to a GGUF file or a folder")
        elif not (self._own / "config.json").is_file():
            raise NotReady(
                f"{self._own} is not a folder with a model in Hugging Face's format (there is no config.json); set "
                "MERRFLOW_LLAMA3_WEIGHTS to one, or leave it empty"
            )
        return self._own

    def folder(self) -> Path:
        """The same without checking that it is complete, and without downloading anything."""
        return self._own or weights.folder_of(self._settings.model, self._settings)


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(path for path in folder.iterdir() if path.name in _READ or path.suffix == ".safetensors")
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files)


@cache
def _fingerprint(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str:
    """A hash over names, sizes, headers and samples, so that `Info` need not read 16 GB. `state`: as `_state`."""
    digest = hashlib.sha256()
    for name, size, _ in state:
        digest.update(f"{name}/{size}/".encode())
        with (folder / name).open("rb") as file:
            for part in range(_PARTS):
                file.seek(max(0, (size - _PART) * part // (_PARTS - 1)))
                digest.update(file.read(_PART))
                if size <= _PART:
                    break
    return digest.hexdigest()
