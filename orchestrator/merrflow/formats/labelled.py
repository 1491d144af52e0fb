"""Labels and Action Units of annotations in MERR's format, to fit and to measure rule sets on."""

from __future__ import annotations

from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import file_sha256
from merrflow.core.paths import path_text
from merrflow.facs.annotations import Annotations
from merrflow.facs.rules import RuleSet, UnknownLabel
from merrflow.formats.merr import read_annotations


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
