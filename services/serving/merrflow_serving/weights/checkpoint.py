"""Tensors from files, and modules from tensors.

`read_tensors` opens what a folder or a file holds without reading it all; `fill` gives a module that was built without
data (`parameters_on_meta`) its tensors, one after the other, so that memory stays about one tensor above the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.names import LISTED, in_the_files_words, listed
from merrflow_serving.weights.pickles import read_pickle
from merrflow_serving.weights.tensorfiles import check_header, damaged, files_of_kind

if TYPE_CHECKING:
    import torch

log = structlog.get_logger()


def read_tensors(path: Path, inside: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint by the names its files give them, mapped, on the CPU, in the files' formats.

    Bytes are read when a tensor is used; pickles that are no archive (torch before 1.6) are read whole.
    path: a `.safetensors` file; a `.bin`, `.pth` or `.pt` file; or a folder in Hugging Face's layout (one file, or
    shards and their index; safetensors go before pickles).
    inside: the sub-dictionary of a pickle that holds the tensors, such as "model"; dots lead deeper.
    Raises `NotReady` if files are missing, cut, damaged, or hold more than tensors.
    """
    if path.is_dir():
        files = files_of_kind(path, "safetensors") or files_of_kind(path, "bin")
        if files is None:
            raise NotReady(
                f"{path} holds no weights: neither model.safetensors nor pytorch_model.bin, nor an index of shards",
                reason="MODEL_MISSING",
            )
    elif path.is_file():
        files = {path: None}
    else:
        raise NotReady(f"{path} does not exist", reason="MODEL_MISSING")
    found: dict[str, torch.Tensor] = {}
    for file, expected in files.items():
        tensors = _read_safetensors(file, inside) if file.suffix == ".safetensors" else read_pickle(file, inside)
        lost = sorted((expected or frozenset()) - tensors.keys())
        if lost:
            raise NotReady(
                f"{file} lacks {', '.join(lost[:LISTED])}, which the index of its folder says it holds",
                reason="MODEL_MISMATCH",
            )
        double = sorted(tensors.keys() & found.keys())
        if double:
            raise NotReady(f"{file} repeats {', '.join(double[:LISTED])} of another file", reason="MODEL_MISMATCH")
        found |= tensors
    return found


def _read_safetensors(path: Path, inside: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    if inside:
        raise NotReady(f"{path} is safetensors, which has no {inside!r} within", reason="MODEL_MISMATCH")
    check_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise damaged(path, str(error)) from error


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules built inside have their parameters on the `meta` device: shapes without data, whatever their size.

    Buffers are real: those that no file holds (rotary frequencies, sinusoids) are computed as the module is built.
    """
    import torch
    from torch.nn.modules.module import register_module_parameter_registration_hook

    def without_data(_: torch.nn.Module, __: str, parameter: torch.nn.Parameter) -> torch.nn.Parameter | None:
        if parameter.is_meta:
            return None
        return torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)

    # torch annotates the hook to return None, and documents that a returned parameter takes the place of the given.
    hook = register_module_parameter_registration_hook(without_data)  # type: ignore[arg-type]
    try:
        yield
    finally:
        hook.remove()


def fill(
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    rename: Callable[[str], str | None],
    dtype: torch.dtype | Callable[[str], torch.dtype],
    device: torch.device | str,
    origin: str,
) -> None:
    """Gives every parameter and persistent buffer of `module` its tensor, in place, without gradients.

    rename: a file's key to the module's key; None for a key to leave out.
    dtype: the format of floating tensors, or one for each of the module's keys (norms that stay in float32). Integer
    tensors keep theirs. Buffers that no file holds are moved to `device` as they are.
    origin: what the checkpoint is called in errors.
    Keys that the module does not have are a warning with their names, as for the models' own code (`strict=False`).
    Raises `NotReady` that lists the missing and misshapen keys by the files' names, with such others, which may be what
    the missing ones are called; then the module is as it was.
    """
    import torch

    wanted = module.state_dict(keep_vars=True)
    ties = _ties(wanted)
    source = _matched(wanted, ties, tensors, rename, origin)
    state: dict[str, torch.Tensor] = {}
    for name, names in ties.items():
        keys = [source[one] for one in names if one in source]
        tensor = tensors[keys[0]]
        for other in keys[1:]:
            if not torch.equal(tensor, tensors[other]):
                raise NotReady(
                    f"{origin}: {keys[0]} and {other} differ, but the model's configuration ties them",
                    reason="MODEL_MISMATCH",
                )
        form = tensor.dtype
        if tensor.is_floating_point():
            form = dtype if isinstance(dtype, torch.dtype) else dtype(name)
        # A copy, even if nothing changes: a mapped file that is cut later would take the process with it.
        tensor = tensor.to(device=device, dtype=form, copy=True)
        if isinstance(wanted[name], torch.nn.Parameter):
            tensor = torch.nn.Parameter(tensor, requires_grad=False)
        state |= dict.fromkeys(names, tensor)  # one object under all its names, so that the tie stays
    module.load_state_dict(state, assign=True)
    lost = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if lost:
        raise RuntimeError(
            f"{origin}: these buffers are in no file and were built without data: {', '.join(lost[:LISTED])}; build "
            "the module within parameters_on_meta(), not on the meta device"
        )
    module.requires_grad_(False).to(device)


def _ties(wanted: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """All names of each tensor by the first of them, in the module's order."""
    by_tensor: dict[int, list[str]] = {}
    for name, tensor in wanted.items():
        by_tensor.setdefault(id(tensor), []).append(name)
    return {names[0]: names for names in by_tensor.values()}


def _matched(
    wanted: Mapping[str, torch.Tensor],
    ties: Mapping[str, list[str]],
    tensors: Mapping[str, torch.Tensor],
    rename: Callable[[str], str | None],
    origin: str,
) -> dict[str, str]:
    """The file's key for each of the module's. Raises `NotReady` that lists all that do not fit if one is missing."""
    source: dict[str, str] = {}
    twice, unexpected, misshapen = [], [], []
    for key in tensors:
        target = rename(key)
        if target is None:
            continue
        if target not in wanted:
            unexpected.append(key if key == target else f"{key} (as {target})")
        elif target in source:
            twice.append(f"{key} and {source[target]} (both {target})")
        else:
            source[target] = key
            have, want = tensors[key].shape, wanted[target].shape
            if have != want:
                misshapen.append(f"{key}: {_times(have)}, not {_times(want)}")
    missing = [first for first, names in ties.items() if source.keys().isdisjoint(names)]
    kinds = {
        "missing": in_the_files_words(missing, source, list(tensors), rename),
        "unexpected": unexpected,
        "of another shape": misshapen,
        "twice": twice,
    }
    found = "; ".join(f"{kind}: {listed(keys)}" for kind, keys in kinds.items() if keys)
    if missing or misshapen or twice:
        raise NotReady(
            f"{origin} does not fit the model: {found}. Is it the right file, whole and of this architecture?",
            reason="MODEL_MISMATCH",
        )
    warn_unused(unexpected, origin)
    return source


def warn_unused(keys: Sequence[str], origin: str) -> None:
    """One line on keys of a file that no part of the model takes; nothing if there are none."""
    if keys:
        log.warning("the weights hold more than the model, which is not used", file=origin, keys=listed(keys))


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
