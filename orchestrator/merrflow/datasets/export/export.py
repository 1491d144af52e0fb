"""`merrflow export`: one finished run as one dataset format, in a folder that is replaced as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from merrflow.core.errors import InputError
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.paths import expanded
from merrflow.core.plugins import Plugin
from merrflow.datasets.curation import Curation, read_curation
from merrflow.datasets.entries import entries
from merrflow.datasets.export.folder import whole_folder
from merrflow.datasets.export.format import Format, Target
from merrflow.datasets.export.registry import known_formats, make_format
from merrflow.datasets.export.vocabulary import vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.kept_faces import STAGE as FACES
from merrflow.datasets.kept_faces import kept_in
from merrflow.datasets.pictures import FOLDER
from merrflow.datasets.review.audit import audited
from merrflow.store import Ledger
from merrflow_serving.errors import is_unicode

UNCURATED = "not kept by merrflow curate"


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    format: str
    folder: Path
    records: int
    left_out: Mapping[str, int]  # why -> records
    remarks: tuple[str, ...]


def export(
    ledger: Ledger,
    out: Path,
    format: str,
    to: Path | None = None,
    *,
    everything: bool = False,
    options: Mapping[str, object] | None = None,
) -> Exported:
    """Writes the run in `out` as `format` into the folder `to` (None: `out/export/<format>`). Blocking.

    everything: also what curation does not keep. options: those of the format, values or text. Raises `InputError` if
    there is no such format or option, nothing to write, or nowhere to write it.
    """
    chosen = make_format(format, options or {})
    plugin = known_formats()[format]
    folder = expanded(to or out / "export" / format).absolute()
    curation = None if everything else curated(out)
    names = curation.kept if curation else None
    left_out: Counter[str] = Counter()
    if curation and curation.dropped:
        left_out[UNCURATED] = len(curation.dropped)
    records = 0
    audit = audited(ledger, out)
    with whole_folder(folder, format) as part:
        target = Target(
            part, out / FOLDER, partial(vocabulary, ledger, names), partial(faces_of, ledger, names), audit=audit
        )
        with _opened(plugin, chosen, target) as writer:
            for entry in entries(ledger, names):
                with plugin.blamed():
                    reason = _reason(plugin, writer.add(entry))
                if reason:
                    left_out[reason] += 1
                else:
                    records += 1
            if not records and not left_out:
                raise InputError(f"{out}: no clip has a record yet; run merrflow run first")
            if not records:
                why = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
                raise InputError(f"{out}: nothing to export as {format}; left out: {why}")
            with plugin.blamed():
                remarks = _remarks(plugin, writer.finish())
        if not plugin.built_in:
            _check_files(plugin, part)
    return Exported(format, folder, records, dict(left_out.most_common()), remarks)


@contextmanager
def _opened(plugin: Plugin[Format[Any]], chosen: Format[Any], target: Target) -> Iterator[Writer]:
    """The format's writer. Whatever that does at its end, an error of the export stays one."""
    stack = ExitStack()
    with plugin.blamed():
        writer = stack.enter_context(chosen.writer(target))
    try:
        yield writer
    except BaseException as error:
        with plugin.blamed():
            stack.__exit__(type(error), error, error.__traceback__)
        raise
    with plugin.blamed():
        stack.close()


def _check_files(plugin: Plugin[Format[Any]], folder: Path) -> None:
    """Raises `InputError` for what a format left that is no file, or no folder of files."""
    if not folder.is_dir():
        raise plugin.fault("removes the folder that it writes into")
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not is_unicode(name):
            raise plugin.fault(f"leaves a file whose name is not valid Unicode: {name!r}")
        if not (path.is_dir() or path.is_file()):
            raise plugin.fault(f"leaves something that is no file: {name!r}")


def _reason(plugin: Plugin[Format[Any]], found: object) -> str:
    """What a writer's `add` returned; a method that ends without `return` has nothing to say."""
    if not isinstance(found, str | None):
        raise plugin.fault(f"returns {type(found).__name__} from `add`, not text")
    return found or ""


def _remarks(plugin: Plugin[Format[Any]], found: Iterable[object] | None) -> tuple[str, ...]:
    """The same of `finish`."""
    remarks = tuple(found or ())
    texts = tuple(remark for remark in remarks if isinstance(remark, str))
    if isinstance(found, str) or len(texts) < len(remarks):
        raise plugin.fault("returns something other than a tuple of texts from `finish`")
    return texts


def faces_of(ledger: Ledger, names: Collection[str] | None) -> Iterator[tuple[str, ActionUnitSeries | None]]:
    """Name and faces of every clip with an outcome, by name. None: not kept, of another version, or not wanted.

    names: the clips wanted (None: all).
    """
    for found in ledger.results((FACES,)):
        payload = found.stages.get(FACES) if names is None or found.name in names else None
        try:
            yield found.name, kept_in(payload).value if payload else None
        except ValidationError:
            yield found.name, None


def curated(out: Path) -> Curation | None:
    """What curation decided; None if there was none. Raises `InputError` if it is stale."""
    curation = read_curation(out)
    if curation and curation.stale:
        raise InputError(
            f"{out / 'curation.json'}: the records have changed since; run merrflow curate again, or "
            "export everything with --all"
        )
    return curation
