"""Labels and Action Units of annotations in MERR's format, to fit and to measure rule sets on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from merrflow.facs.rules import RuleSet, UnknownLabel
from merrflow.fingerprint import file_sha256
from merrflow.inputs import InputError, path_text
from merrflow.merr_files import read_annotations


@dataclass(frozen=True)
class Annotations:
    """Records in the order of their names, so that the order in the file never matters."""

    file: str  # name without folders
    sha256: str  # of the file's bytes
    labels: tuple[str, ...]  # one a record, in the rule set's words
    units: tuple[frozenset[str], ...]  # Action Units present at the peak, one set a record


def read_labelled(path: Path, rules: RuleSet) -> Annotations:
    """The records of MERR's JSON, which must all have `pseu_emotion` and `peak_AU_list`.

    `rules`: whose labels and aliases the file's labels are. Raises InputError, which names file, record and value.
    """
    labels, units = [], []
    for name, record in sorted(read_annotations(path, whole=False).items()):
        if record.label is None or record.peak_units is None:
            raise InputError(f"{path}: clip {name!r} needs `pseu_emotion` and `peak_AU_list`")
        try:
            labels.append(rules.normal(record.label))
        except UnknownLabel as error:
            raise InputError(f"{path}: clip {name!r}: {error}") from error
        units.append(frozenset(record.peak_units))
    return Annotations(path_text(Path(path.name)), file_sha256(path), tuple(labels), tuple(units))
