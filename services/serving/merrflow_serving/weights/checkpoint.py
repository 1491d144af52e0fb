"""Tensors from files, and modules from tensors.

`read_tensors` opens what a folder or a file holds without reading it all; `fill` gives a module that was built without
data (`parameters_on_meta`) its tensors, one after the other, so that memory stays about one tensor above the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.names import in_the_files_words
from merrflow_serving.weights.pickles import converted
from merrflow_serving.weights.tensorfiles import Tensors, safetensors_files

if TYPE_CHECKING:
    import torch

PICKLES = (".bin", ".pth", ".pt")
LISTED = 12  # keys of each kind that an error names


def read_tensors(path: Path, inside: str = "", *, store: Path | None = None) -> Mapping[str, torch.Tensor]:
    """All tensors of a checkpoint by the names its files give them, read lazily, on the CPU, in the files' formats.

    path: a `.safetensors` file; a `.bin`, `.pth` or `.pt` file; or a folder in Hugging Face's layout (one file, or
    shards and their index; safetensors go before pickles).
    inside: the sub-dictionary of a pickle that holds the tensors, such as "model"; dots lead deeper.
    store: where pickles are kept once they are converted (default: `converted` below the models' folder).
    Raises `NotReady` where files are missing, cut, damaged, or hold more than tensors.
    """
    path = Path(path)
    if path.is_dir():
        files = safetensors_files(path, "safetensors")
        if files is None:
            files = safetensors_files(path, "bin")
        if files is None:
            raise NotReady(
                f"{path} holds no weights: neither model.safetensors nor pytorch_model.bin, nor an index of shards",
                reason="MODEL_MISSING",
            )
    elif path.is_file():
        files = {path: None}
    else:
        raise NotReady(f"{path} does not exist", reason="MODEL_MISSING")
    if inside and any(file.suffix == ".safetensors" for file in files):
        raise NotReady(f"{path} is safetensors, which has no {inside!r} within", reason="MODEL_MISMATCH")
    opened = {
        converted(file, inside, store) if file.suffix in PICKLES else file: (file, keys) for file, keys in files.items()
    }
    return Tensors(opened)


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules built inside have their parameters on the `meta` device: shapes without data, whatever their size.

    Buffers are real: those that no file holds (rotary frequencies, sinusoids) are computed as the module is built.
    """
    import torch

    register = torch.nn.Module.register_parameter

    def without_data(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None and parameter.device.type != "meta":
            module._parameters[name] = torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)

    torch.nn.Module.register_parameter = without_data
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


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
    Raises `NotReady` that lists the missing, unexpected and misshapen keys by the files' names; then the module is
    as it was.
    """
    import torch

    device = torch.device(device)
    wanted = module.state_dict(keep_vars=True)
    source: dict[str, str] = {}  # the module's key: the file's
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
            have, want = _shape(tensors, key), tuple(wanted[target].shape)
            if have != want:
                misshapen.append(f"{key}: {_times(have)}, not {_times(want)}")
    groups = _shared(wanted)
    missing = [name for name in wanted if name not in source and not any(n in source for n in groups[name])]
    # A tied tensor is missed once, under its first name.
    missing = [name for name in missing if groups[name][0] == name]
    problems = [
        _listing("missing", in_the_files_words(missing, source, list(tensors), rename)),
        _listing("unexpected", unexpected),
        _listing("of another shape", misshapen),
        _listing("twice", twice),
    ]
    found = "; ".join(problem for problem in problems if problem)
    if found:
        raise NotReady(
            f"{origin} does not fit the model: {found}. Is it the right file, whole and of this architecture?",
            reason="MODEL_MISMATCH",
        )
    _assign(module, tensors, source, groups, dtype, device, origin)
    _settle_buffers(module, device, origin)


def _assign(
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    source: Mapping[str, str],
    groups: Mapping[str, list[str]],
    dtype: torch.dtype | Callable[[str], torch.dtype],
    device: torch.device,
    origin: str,
) -> None:
    import torch

    done: set[str] = set()
    for name in groups:
        if name in done:
            continue
        names = groups[name]
        done.update(names)
        given = [one for one in names if one in source]
        tensor = tensors[source[given[0]]]
        for other in given[1:]:
            if not torch.equal(tensor, tensors[source[other]]):
                raise NotReady(
                    f"{origin}: {source[given[0]]} and {source[other]} differ, but the model's configuration ties them",
                    reason="MODEL_MISMATCH",
                )
        form = tensor.dtype
        if tensor.is_floating_point():
            form = dtype if isinstance(dtype, torch.dtype) else dtype(name)
        # A copy, also where nothing changes: a mapped file that is cut later would take the process with it.
        tensor = tensor.to(device=device, dtype=form, copy=True)
        parameter = None
        for one in names:
            owner, _, leaf = one.rpartition(".")
            holder = module.get_submodule(owner)
            if leaf in holder._parameters:
                parameter = parameter if parameter is not None else torch.nn.Parameter(tensor, requires_grad=False)
                holder._parameters[leaf] = parameter
            else:
                holder._buffers[leaf] = tensor


def _settle_buffers(module: torch.nn.Module, device: torch.device, origin: str) -> None:
    """Moves what no file holds; what has no data cannot be had any more."""
    lost = []
    for owner_name, owner in module.named_modules():
        for leaf, buffer in owner._buffers.items():
            if buffer is None or buffer.device == device:
                continue
            if buffer.device.type == "meta":
                lost.append(f"{owner_name}.{leaf}".lstrip("."))
            else:
                owner._buffers[leaf] = buffer.to(device)
    if lost:
        raise RuntimeError(
            f"{origin}: these buffers are in no file and were built without data: {', '.join(lost[:LISTED])}; build "
            "the module within parameters_on_meta(), not on the meta device"
        )


def _shared(wanted: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """For each name, all names of the same tensor, in the module's order."""
    by_tensor: dict[int, list[str]] = {}
    for name, tensor in wanted.items():
        by_tensor.setdefault(id(tensor), []).append(name)
    return {name: by_tensor[id(tensor)] for name, tensor in wanted.items()}


def _shape(tensors: Mapping[str, torch.Tensor], key: str) -> tuple[int, ...]:
    shape = getattr(tensors, "shape", None)  # of `Tensors` and views of them: from the file's header
    return shape(key) if callable(shape) else tuple(tensors[key].shape)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _listing(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f", ... ({len(keys)} in all)" if len(keys) > LISTED else ""
    return f"{what}: {', '.join(keys[:LISTED])}{more}"
