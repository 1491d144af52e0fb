"""`.pth` and `.bin` files as safetensors: read without running their code, converted once.

torch's pickles can run code when they are loaded, so they are read with `weights_only=True`, which refuses everything
but tensors and plain containers. A conversion is kept under the source's sha256 and made once, whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.atomic import write_whole
from merrflow_serving.weights.places import default_models_dir
from merrflow_serving.weights.tensorfiles import SHARED, damaged, read_header

if TYPE_CHECKING:
    import torch

log = structlog.get_logger()
VERSION = "1"  # of this conversion; a new one converts anew


def converted(path: Path, inside: str = "", store: Path | None = None) -> Path:
    """The safetensors file with the tensors of a pickle. Made where it is not there yet; several may ask at once.

    Raises `NotReady` where the file is cut, holds other things than tensors, or has no `inside`, and where there is no
    room for the conversion.
    """
    from filelock import FileLock

    store = store if store is not None else default_models_dir() / "converted"
    try:
        store.mkdir(parents=True, exist_ok=True)
        digest = _digest(path, store)
        name = f"{path.stem}-{digest[:20]}{f'-{_plain(inside)}' if inside else ''}-v{VERSION}.safetensors"
        target = store / name
        if target.is_file():
            return _checked(target, digest)
        with FileLock(store / f"{name}.lock"):
            if not target.is_file():
                log.info("converting to safetensors, once", file=str(path), to=str(target))
                _convert(path, inside, target, digest)
        return _checked(target, digest)
    except OSError as error:
        raise NotReady(
            f"{path} cannot be converted to safetensors in {store}: {error.strerror or error}; give it room there, or "
            "set MERRFLOW_MODELS_DIR to another folder",
            reason="STORAGE",
        ) from error


def _checked(target: Path, digest: str) -> Path:
    header = read_header(target)
    if header.get("__metadata__", {}).get("source_sha256") != digest:
        raise damaged(target, "it does not say what it was made of")
    return target


def _plain(text: str) -> str:
    return re.sub(r"[^\w.]", "_", text)


def _digest(path: Path, store: Path) -> str:
    """The source's sha256, computed once for each size and time of change."""
    stat = path.stat()
    stamp = {"path": str(path.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    record = store / f".{hashlib.sha256(stamp['path'].encode()).hexdigest()[:20]}.json"
    try:
        known = json.loads(record.read_text())
        if {key: known[key] for key in stamp} == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_whole(record, json.dumps(stamp | {"sha256": digest}).encode())
    return digest


def _convert(path: Path, inside: str, target: Path, digest: str) -> None:
    tensors = _select(_load(path), inside, path)
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    metadata = {"format": "pt", "source": path.name, "source_sha256": digest, "inside": inside}
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        free = os.statvfs(target.parent)
        if free.f_bavail * free.f_frsize < needed:
            raise OSError(
                28, f"{needed / 1e9:.1f} GB are needed, {free.f_bavail * free.f_frsize / 1e9:.1f} GB are free"
            )
        write_safetensors(Path(partial), tensors, metadata)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _load(path: Path) -> Any:
    import torch

    zipped = zipfile.is_zipfile(path)
    if zipped:
        _refuse_compressed(path)
    try:
        # Mapped: a tensor's bytes are read when they are used. Only the zip format of torch 1.6 and later can be.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global|class|function)\W+([\w.]+\.\w+)", str(error))
        raise NotReady(
            f"{path} holds more than tensors{f' ({named.group(1)})' if named else ''}, and is refused: to load it "
            "could run code of whoever wrote it. Save its state_dict alone, or get the file from its authors",
            reason="MODEL_REFUSED",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        # OSError too: the whole file was read for its sha256 before, so what fails now is a seek to where nothing is.
        raise damaged(
            path, str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        ) from error


def _refuse_compressed(path: Path) -> None:
    """torch stores and never compresses; what is compressed cannot be mapped, and may unfold to more than memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = next((one for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED), None)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if packed is not None:
        raise NotReady(
            f"{path} is a compressed archive ({packed.filename}), which torch does not write; get the file from its "
            "authors, or unpack it and pack it again without compression: zip -0 -r",
            reason="MODEL_REFUSED",
        )


def _select(document: Any, inside: str, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for step in inside.split(".") if inside else ():
        if not isinstance(document, Mapping) or step not in document:
            has = ", ".join(map(str, list(document)[:12])) if isinstance(document, Mapping) else type(document).__name__
            raise NotReady(f"{path} has no {inside!r}; it has: {has}", reason="MODEL_MISMATCH")
        document = document[step]
    found = (
        {str(key): value for key, value in document.items() if isinstance(value, torch.Tensor)}
        if isinstance(document, Mapping)
        else {}
    )
    if not found:
        within = (
            [str(key) for key, value in document.items() if isinstance(value, Mapping)]
            if isinstance(document, Mapping)
            else []
        )
        raise NotReady(
            f"{path} holds no tensors{f' in {inside!r}' if inside else ''}"
            + (f"; dictionaries within: {', '.join(within[:12])}" if within else ""),
            reason="MODEL_MISMATCH",
        )
    return found


def _dtype_names() -> dict[torch.dtype, str]:
    import torch

    return {
        torch.float64: "F64",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.float8_e4m3fn: "F8_E4M3",
        torch.float8_e5m2: "F8_E5M2",
        torch.int64: "I64",
        torch.int32: "I32",
        torch.int16: "I16",
        torch.int8: "I8",
        torch.uint8: "U8",
        torch.bool: "BOOL",
    }


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Writes one tensor after the other, so that no more than one is in memory besides the mapped source.

    Two names of one tensor (tied weights) are written once, and the second named in the metadata. Views that share only
    parts are written each for itself. Raises `NotReady` for tensors that the format does not know (sparse, quantised).
    """
    import torch

    names = _dtype_names()
    first: dict[tuple[Any, ...], str] = {}
    shared: dict[str, str] = {}
    header: dict[str, Any] = {}
    offset = 0
    for key, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.dtype not in names:
            raise NotReady(f"{key} is {tensor.dtype}, {tensor.layout}: not a tensor that safetensors can hold")
        place = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and place in first:
            shared[key] = first[place]
            continue
        first[place] = key
        size = tensor.numel() * tensor.element_size()
        header[key] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    header["__metadata__"] = dict(metadata) | ({SHARED: json.dumps(shared)} if shared else {})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the data are aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in header:
            if key != "__metadata__":
                flat = tensors[key].detach().contiguous().reshape(-1).view(torch.uint8)
                file.write(memoryview(flat.numpy()))
        file.flush()
        os.fsync(file.fileno())
