"""Reads MERR's own files back: the annotation JSON, the TXT beside it, and the subtitle CSV.

Source of the formats: the annotations of Emotion-LLaMA (Cheng et al. 2024, NeurIPS) and its dataset class. What is
wrong is named by file, clip (or line), key and value. Known quirks of the published files are not errors: `peak_index`
as text, AU14 written as "AU15" under `sad` (so that AU15 may occur twice), an empty `peak_AU_list`, and phrases that
are misspelt or belong to another Action Unit. Other keys are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.formats.merr_annotation import MerrAnnotation
from merrflow.formats.merr_json import read_json
from merrflow.formats.merr_tables import read_csv, read_txt

__all__ = ["MerrAnnotation", "read_annotations", "read_labels", "read_sentences"]


def read_annotations(path: Path, whole: bool = True) -> dict[str, MerrAnnotation]:
    """All clips of a MERR file, by name, in the file's order: .json, .txt, or .csv.

    `whole`: whether every clip of a JSON must have all keys of MERR's; else some of them suffice. Raises InputError
    at the first fault.
    """
    readers: dict[str, Callable[[Path], Iterator[MerrAnnotation]]] = {
        ".json": partial(read_json, whole=whole),
        ".txt": read_txt,
        ".csv": read_csv,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not one of MERR's files, which end in .json, .txt or .csv")
    found: dict[str, MerrAnnotation] = {}
    for one in reader(path):
        if one.name in found:
            raise InputError(f"{one.place(path)} occurs twice; a clip has one annotation")
        found[one.name] = one
    if not found:
        raise InputError(f"{path}: holds no clip")
    return found


def read_labels(path: Path, normal: Callable[[str], str] = str) -> dict[str, str]:
    """Label by clip name, from JSON (`pseu_emotion`), TXT, or a CSV with the columns `name` and `label`.

    `normal`: gives a label its proper word, or raises ValueError, such as `RuleSet.normal`. Clips whose label is blank
    in a CSV are left out. Raises InputError, also if no clip has a label.
    """
    found: dict[str, str] = {}
    for one in read_annotations(path, whole=False).values():
        try:
            if one.label:
                found[one.name] = normal(one.label)
        except ValueError as error:
            raise InputError(f"{one.place(path)}: {error}") from error
    if not found:
        raise InputError(f"{path}: holds no labels; a CSV needs the columns `name` and `label`")
    return found


def read_sentences(path: Path) -> dict[str, str]:
    """What is said by clip name, from JSON (`text`) or a CSV with the columns `name` and `sentence`.

    Clips in which nothing is said are left out. Raises InputError, also if no clip has a sentence.
    """
    found = {one.name: one.sentence for one in read_annotations(path, whole=False).values() if one.sentence}
    if not found:
        raise InputError(f"{path}: holds no subtitles; JSON has them under `text`, a CSV in the column `sentence`")
    return found
