"""Reads labels and Action Units from annotations in MERR's format, to fit and to measure rule sets on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from merrflow.facs.rules import RuleSet, UnknownLabel
from merrflow.facs.units import action_units
from merrflow.inputs import InputError


@dataclass(frozen=True)
class Annotations:
    """Records in the order of their names, so that the order in the file never matters."""

    file: str  # name without folders
    sha256: str  # of the file's bytes
    labels: tuple[str, ...]  # one a record, in the rule set's words
    units: tuple[frozenset[str], ...]  # Action Units present at the peak, one set a record


def read_annotations(path: Path, rules: RuleSet) -> Annotations:
    """A JSON object of records with `pseu_emotion` and `peak_AU_list`, as MERR's files are.

    `rules`: whose labels and aliases the file's labels are. Raises InputError, which names file, record and value.
    """
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: must be a JSON object of records by clip name, as MERR's annotations are")
    labels, units = [], []
    for name in sorted(content):
        record = content[name] if isinstance(content[name], dict) else {}
        label, codes = record.get("pseu_emotion"), record.get("peak_AU_list")
        if not isinstance(label, str) or not isinstance(codes, list):
            raise InputError(f"{path}: record {name!r} needs `pseu_emotion`, a text, and `peak_AU_list`, a list")
        unknown = [code for code in codes if not isinstance(code, str) or code not in action_units()]
        if unknown:
            raise InputError(f"{path}: record {name!r}: unknown Action Unit {unknown[0]!r} in peak_AU_list")
        try:
            labels.append(rules.normal(label))
        except UnknownLabel as error:
            raise InputError(f"{path}: record {name!r}: {error}") from error
        units.append(frozenset(codes))
    return Annotations(path.name, hashlib.sha256(data).hexdigest(), tuple(labels), tuple(units))
