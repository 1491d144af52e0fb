"""`merrflow export`: one finished run as one dataset format, in a folder that is replaced as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from merrflow.core.errors import InputError
from merrflow.datasets.entries import entries
from merrflow.datasets.export.folder import whole_folder
from merrflow.datasets.export.vocabulary import vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.store import Ledger

if TYPE_CHECKING:
    from merrflow.datasets.curation import Curation

UNCURATED = "not kept by merrflow curate"


class Format(StrEnum):
    """What a run can be exported as."""

    MERR = "merr"
    MERR_STRICT = "merr-strict"
    HUGGINGFACE = "huggingface"
    SHAREGPT = "sharegpt"
    CSV = "csv"


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    format: Format
    folder: Path
    records: int
    left_out: Mapping[str, int]  # why -> records
    remarks: tuple[str, ...]


def export(
    ledger: Ledger,
    out: Path,
    format: Format,
    to: Path | None = None,
    *,
    everything: bool = False,
    splits: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Exported:
    """Writes the run in `out` as `format` into the folder `to` (None: `out/export/<format>`). Blocking.

    everything: also what curation does not keep. splits: name -> share of the clips, of a Hugging Face dataset;
    the rest is "train". Raises `InputError` where there is nothing to write or nowhere to write it.
    """
    folder = (to or out / "export" / format).expanduser().absolute()
    if splits and format is not Format.HUGGINGFACE:
        raise InputError(f"--split is for the format huggingface; {format} has one part")
    curation = None if everything else curated(out)
    names = curation.kept if curation else None
    left_out: Counter[str] = Counter()
    if curation and curation.dropped:
        left_out[UNCURATED] = len(curation.dropped)
    records = 0
    with whole_folder(folder, format) as part:
        with _writer(ledger, out, format, part, names, splits or {}, seed) as writer:
            for entry in entries(ledger, names):
                reason = writer.add(entry)
                if reason:
                    left_out[reason] += 1
                else:
                    records += 1
            if not records and not left_out:
                raise InputError(f"{out}: no clip has a record yet; run merrflow run first")
            if not records:
                why = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
                raise InputError(f"{out}: nothing to export as {format}; left out: {why}")
            remarks = writer.finish()
    return Exported(format, folder, records, dict(left_out.most_common()), remarks)


def curated(out: Path) -> Curation | None:
    """What curation decided; None where there was none. Raises `InputError` where it is stale."""
    from merrflow.datasets.curation import read_curation

    curation = read_curation(out)
    if curation and curation.stale:
        raise InputError(
            f"{out / 'curation.json'}: was made of other records than there are now; run merrflow curate again, or "
            "export everything with --all"
        )
    return curation


def _writer(
    ledger: Ledger,
    out: Path,
    format: Format,
    folder: Path,
    names: frozenset[str] | None,
    splits: Mapping[str, float],
    seed: int,
) -> Writer:
    match format:
        case Format.MERR:
            from merrflow.datasets.export.merr import MerrExport

            return MerrExport(folder)
        case Format.MERR_STRICT:
            from merrflow.datasets.export.merr import MerrExport
            from merrflow.datasets.export.merr_strict import published

            return MerrExport(folder, published)
        case Format.SHAREGPT:
            from merrflow.datasets.export.sharegpt import ShareGpt

            return ShareGpt(folder, out / "peaks")
        case Format.CSV:
            from merrflow.datasets.export.spreadsheet import Spreadsheet

            return Spreadsheet(folder, vocabulary(ledger, names))
        case Format.HUGGINGFACE:
            from merrflow.datasets.export.huggingface import HuggingFace

            return HuggingFace(folder, out / "peaks", vocabulary(ledger, names), splits, seed)
