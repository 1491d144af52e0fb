"""`.pth` and `.bin` files, read without running their code.

torch's pickles can run code when they are loaded, so they are read with `weights_only=True`, which refuses everything
but tensors and plain containers.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.names import LISTED
from merrflow_serving.weights.tensorfiles import damaged

if TYPE_CHECKING:
    import torch


def read_pickle(path: Path, inside: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a pickle by name, on the CPU.

    The file is mapped: a tensor's bytes are read when they are used. Only a file of torch before 1.6 is read whole.
    inside: the sub-dictionary that holds the tensors, such as "model"; dots lead deeper.
    Raises `NotReady` if the file is cut, compressed, holds other things than tensors, or has no `inside`.
    """
    import torch

    zipped = zipfile.is_zipfile(path)
    if zipped:
        _refuse_compressed(path)
    try:
        document = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global|class|function)\W+([\w.]+\.\w+)", str(error))
        raise NotReady(
            f"{path} holds more than tensors{f' ({named.group(1)})' if named else ''}, and is refused: to load it "
            "could run code of whoever wrote it. Save its state_dict alone, or get the file from its authors",
            reason="MODEL_REFUSED",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        # OSError too: the file could be opened just before, so what fails now is a seek past its end.
        lines = str(error).strip().splitlines()
        raise damaged(path, lines[0] if lines else type(error).__name__) from error
    return _tensors(document, inside, path)


def _refuse_compressed(path: Path) -> None:
    """torch never compresses; a compressed tensor cannot be mapped, and may unfold to more than the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = next((one for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED), None)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if packed is not None:
        raise NotReady(
            f"{path} is a compressed archive ({packed.filename}), which torch does not write; get the file from its "
            "authors, or unpack it and pack it again without compression: zip -0 -r",
            reason="MODEL_REFUSED",
        )


def _tensors(document: Any, inside: str, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for step in inside.split(".") if inside else ():
        if not isinstance(document, Mapping) or step not in document:
            has = map(str, list(document)[:LISTED]) if isinstance(document, Mapping) else [type(document).__name__]
            raise NotReady(f"{path} has no {inside!r}; it has: {', '.join(has)}", reason="MODEL_MISMATCH")
        document = document[step]
    items = document.items() if isinstance(document, Mapping) else ()
    tensors = {str(key): value for key, value in items if isinstance(value, torch.Tensor)}
    if not tensors:
        within = [str(key) for key, value in items if isinstance(value, Mapping)]
        raise NotReady(
            f"{path} holds no tensors{f' in {inside!r}' if inside else ''}"
            + (f"; dictionaries within: {', '.join(within[:LISTED])}" if within else ""),
            reason="MODEL_MISMATCH",
        )
    return tensors
