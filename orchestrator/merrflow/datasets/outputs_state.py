"""Which state of the ledger a folder's output files were written from, so that a run that changed nothing need not read
70,000 records to write the same bytes again.

Only a hint: if the stamp is missing or of another version, or a file was changed since, all are written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from merrflow.core.atomic_files import whole_text
from merrflow.core.fingerprint import fingerprint
from merrflow.core.version import __version__
from merrflow.datasets.pictures import FOLDER, Pictures

NAME = ".outputs.json"
FILES = (
    "merr/MERR_coarse_grained.json",
    "merr/MERR_coarse_grained.txt",
    "merr/MERR_fine_grained.json",
    "merr/MERR_fine_grained.txt",
    "merr/transcription_en_all.csv",
    "records.jsonl",
    "dropped.jsonl",
    "report.html",
)


@dataclass(frozen=True)
class Written:
    """What the output files hold."""

    coarse: int  # records in merr/MERR_coarse_grained.json
    fine: int  # records in merr/MERR_fine_grained.json
    dropped: int  # lines of dropped.jsonl
    labels: dict[str, int]  # label -> records, most frequent first
    remarks: tuple[str, ...] = ()  # of the writers that were fed in the same pass


class _Stamp(BaseModel):
    model_config = ConfigDict(extra="forbid")

    made_of: list[str]
    files: dict[str, tuple[int, int]]  # name -> size, mtime_ns
    pictures: str  # `Pictures.state`
    written: Written


def read_stamp(out: Path, state: str) -> Written | None:
    """What was written of this state of the ledger; None if the files there now are not those."""
    try:
        stamp = _Stamp.model_validate_json((out / NAME).read_bytes())
        current = (stamp.made_of, stamp.files, stamp.pictures) == (_made_of(out, state), _files(out), _pictures(out))
    except (OSError, ValidationError):
        return None
    return stamp.written if current else None


def write_stamp(out: Path, state: str, written: Written) -> None:
    """Remembers that the files there now were written from this state of the ledger."""
    stamp = _Stamp(made_of=_made_of(out, state), files=_files(out), pictures=_pictures(out), written=written)
    with whole_text(out / NAME) as file:
        file.write(stamp.model_dump_json())


def _made_of(out: Path, state: str) -> list[str]:
    return [state, __version__, _code(), out.resolve().name]  # the report's title is the folder's name


def _code() -> str:
    """Changes with an upgrade of what writes the files, also if it has the same version number."""
    package = Path(__file__).parent
    paths = [path for part in ("export", "report") for path in sorted((package / part).iterdir())]
    found = [(path.name, path.stat()) for path in (*paths, package / "pages.py")]
    return fingerprint([[name, stat.st_size, stat.st_mtime_ns] for name, stat in found if "." in name])


def _pictures(out: Path) -> str:
    return Pictures(out / FOLDER).state()


def _files(out: Path) -> dict[str, tuple[int, int]]:
    found = {name: (out / name).stat() for name in FILES}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}
