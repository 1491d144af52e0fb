"""A reader of MERR's files written from the description of the format, and as strict as the trainers' own.

The rules: a TXT line is `name frame_count label`, separated by single blanks (a valence may follow); the label is one
of nine; each name has an entry in the JSON beside it and a row `name,sentence` in a CSV that pandas reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

NINE = ("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt")
SHARED = {
    "AU_list": list,
    "visual_prior_list": list,
    "audio_prior_list": str,
    "peak_index": str,
    "peak_AU_list": list,
    "pseu_emotion": str,
}
FIELDS = {"coarse": SHARED | {"caption": str}, "fine": SHARED | {"text": str, "smp_reason_caption": str}}


@dataclass(frozen=True)
class Sample:
    name: str
    frames: int
    label: str
    fields: dict
    instruction: str


def load(folder: Path, grain: str, code_page: str = "utf-8", *, all_listed: bool = True) -> list[Sample]:
    """All samples of a grain, in the order of the TXT. Raises where anything is not as described.

    code_page: the system's, in which the trainers open the JSON. all_listed: whether the TXT has every clip of it.
    """
    data = json.loads((folder / f"MERR_{grain}_grained.json").read_text(encoding=code_page))
    lines = (folder / f"MERR_{grain}_grained.txt").read_text(encoding="utf-8").splitlines()
    subtitles = pd.read_csv(folder / "transcription_en_all.csv")
    samples = []
    for line in lines:
        name, count, label = line.strip().split(" ")
        fields = data[name]
        assert [key for key in fields if key != "pseu_emotion_standing"] == list(FIELDS[grain]), name
        assert all(isinstance(fields[key], kind) for key, kind in FIELDS[grain].items()), name
        assert label == fields["pseu_emotion"]
        assert label in NINE
        assert len(fields["AU_list"]) == len(fields["visual_prior_list"])
        assert 0 <= int(fields["peak_index"]) < int(count)
        sentence = subtitles.loc[subtitles["name"] == name, "sentence"].values[0]
        assert isinstance(sentence, str), f"{name}: read as {sentence}"
        samples.append(Sample(name, int(count), label, fields, f"The person in video says: {sentence}. "))
    assert len(samples) == len({sample.name for sample in samples})
    assert len(samples) == len(data) or not all_listed
    return samples
