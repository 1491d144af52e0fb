"""Reads MERR's own files back: the annotation JSON, the TXT beside it, and the subtitle CSV.

Source of the formats: the annotations of Emotion-LLaMA (Cheng et al. 2024, NeurIPS) and its dataset class. What is
wrong is named by file, clip (or line), key and value. Known quirks of the published files are not errors: `peak_index`
as text, AU14 written as "AU15" under `sad` (so that AU15 may occur twice), an empty `peak_AU_list`, and phrases that
are misspelt or belong to another Action Unit. Other keys are ignored.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.formats.layout import load_layout
from merrflow.formats.merr_annotation import MerrAnnotation
from merrflow.formats.merr_json import read_json
from merrflow.formats.merr_tables import read_tables

__all__ = ["MerrAnnotation", "read_annotations", "read_labels", "read_sentences"]

_TABLES = (".csv", ".tsv", ".txt")
log = logging.getLogger(__name__)


def read_annotations(path: Path, whole: bool = True, layout: str = "", encoding: str = "") -> dict[str, MerrAnnotation]:
    """All clips of a MERR file, or of another data set's table, by name, in the file's order.

    `whole`: whether every clip of a JSON must have all keys of MERR's; else some of them suffice. `layout`: whose table
    it is (layout.py), empty for MERR's. `encoding`: of a table, empty to find it. Raises InputError at the first fault.
    """
    suffix = path.suffix.lower()
    if suffix not in (".json", *_TABLES):
        hint = "; save a workbook as `CSV UTF-8`" if suffix in (".xlsx", ".xls", ".ods", ".numbers") else ""
        raise InputError(f"{path}: not one of MERR's files, which end in .json, .txt or .csv (.tsv){hint}")
    load_layout(layout)  # a wrong name is an error for every kind of file
    found: dict[str, MerrAnnotation] = {}
    for one in read_json(path, whole) if suffix == ".json" else read_tables(path, layout, encoding):
        earlier = found.setdefault(one.name, one)
        if earlier is not one:
            where = f" (first in line {earlier.line})" if earlier.line else ""
            raise InputError(f"{one.place(path)} occurs twice{where}; a clip has one annotation")
    if not found:
        raise InputError(f"{path}: holds no clip")
    return found


def read_labels(path: Path, normal: Callable[[str], str] = str, layout: str = "", encoding: str = "") -> dict[str, str]:
    """Label by clip name, from JSON (`pseu_emotion`), TXT, or a CSV with the columns `name` and `label`.

    `normal`: gives a label its proper word, or raises ValueError, such as `RuleSet.normal`. Clips whose label is blank
    in a CSV, or has no counterpart in merrflow (logged), are left out. `layout`, `encoding`: as `read_annotations`.
    Raises InputError, also if no clip has a label.
    """
    found: dict[str, str] = {}
    annotations = read_annotations(path, False, layout, encoding).values()
    unlike = Counter(one.unlike for one in annotations if one.unlike)
    for one in annotations:
        try:
            if one.label:
                found.update(dict.fromkeys((*one.other_names, one.name), normal(one.label)))
        except ValueError as error:
            raise InputError(f"{one.place(path)}: {error}") from error
    counted = listed(f"{word} ({count})" for word, count in unlike.most_common())
    if not found:
        why = (
            f"none of them has a counterpart in merrflow: {counted}"
            if unlike
            else "a CSV needs the columns `name` and `label`"
        )
        raise InputError(f"{path}: holds no labels; {why}")
    if unlike:
        log.warning("%s: clips without a label, because merrflow has none for: %s", path, counted)
    return found


def read_sentences(path: Path, layout: str = "", encoding: str = "") -> dict[str, str]:
    """What is said by clip name, from JSON (`text`) or a CSV with the columns `name` and `sentence`.

    Clips in which nothing is said are left out. `layout`, `encoding`: as `read_annotations`. Raises InputError, also if
    no clip has a sentence.
    """
    annotations = read_annotations(path, False, layout, encoding).values()
    found = {name: one.sentence for one in annotations if one.sentence for name in (*one.other_names, one.name)}
    if not found:
        raise InputError(f"{path}: holds no subtitles; JSON has them under `text`, a CSV in the column `sentence`")
    return found
