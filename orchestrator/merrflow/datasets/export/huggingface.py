"""Hugging Face datasets: shards with the pictures, clips or sounds in them, and a dataset card.

`datasets.load_dataset(folder)` reads them as they are, with features: pictures, films, class labels, lists. The
absolute paths of clips are not in them, for they reveal the machine that they were made on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import fraction
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.card import Card
from merrflow.datasets.export.columns import MEDIA, Column, columns
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.media import film_name, sound_of, unchanged_clip_of
from merrflow.datasets.export.shards import (
    SHARD,
    ParquetShards,
    Shards,
    TarShards,
    arrow_schema,
    parquet_features,
    tar_features,
)
from merrflow.datasets.export.text import clean_all
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.pictures import Pictures
from merrflow.datasets.review.audit import AuditReport

TRAIN = "train"


class HuggingFaceOptions(FormatOptions):
    """How the clips are divided, and what is in the dataset of each."""

    split: Mapping[str, float] = Field(
        {}, description="parts and their shares, such as validation=0.1,test=0.1; the rest is train"
    )
    seed: int = Field(0, description="of the split")
    image: bool = Field(True, description="false: without the pictures")
    video: bool = Field(False, description="true: with the clips")
    audio: bool = Field(False, description="true: with the clips' sound as WAV")

    @field_validator("split", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return parse_split(value) if isinstance(value, str) else value

    @property
    def media(self) -> tuple[str, ...]:
        """The columns of MEDIA that are wanted."""
        return tuple(name for name in MEDIA if getattr(self, name))


class HuggingFace(Writer):
    """Writes `data/<split>-00000-of-00001.<extension>` and `README.md` into `folder`."""

    def __init__(
        self,
        folder: Path,
        peaks: Path,
        words: Vocabulary,
        options: HuggingFaceOptions,
        shard_bytes: int = SHARD,
        audit: AuditReport | None = None,
    ) -> None:
        """peaks: the run's folder of pictures."""
        super().__init__()
        self._folder = folder
        self._pictures = Pictures(peaks)
        self._options = options
        self._columns = columns(words, options.media)
        self._inside: Counter[str] = Counter()  # of MEDIA
        self._lost: Counter[str] = Counter()
        (folder / "data").mkdir()
        self._splits = {
            name: self.files.enter_context(self._shards(folder / "data", name, shard_bytes, words))
            for name in (TRAIN, *options.split)
        }
        self._card = Card(self._columns, audit)

    @abstractmethod
    def _shards(self, folder: Path, name: str, shard_bytes: int, words: Vocabulary) -> Shards:
        """The files of one split."""

    @abstractmethod
    def _features(self, table: tuple[Column, ...]) -> list[dict[str, Any]]:
        """What the card says of the columns."""

    def add(self, entry: Entry) -> str:
        record = entry.record
        row = clean_all({column.name: column.take(entry) for column in self._columns})
        for name, data in self._media(record).items():
            row[name] = data
            self._inside[name] += bool(data)
        self._splits[split_of(record.sha256 or record.name, self._options.split, self._options.seed)].add(row)
        self._card.add(entry)
        return ""

    def finish(self) -> tuple[str, ...]:
        for split in self._splits.values():
            split.close()
        filled = {name: split for name, split in self._splits.items() if split.rows}
        sizes = {name: (split.rows, split.data_bytes, split.file_bytes) for name, split in filled.items()}
        inside = [name for name in MEDIA if self._inside[name]]
        text = self._card.text(sizes, self._options.seed, inside, self._features(self._columns))
        (self._folder / "README.md").write_text(text, encoding="utf-8")
        remarks = ["records in " + ", ".join(f"{name}: {split.rows}" for name, split in filled.items())]
        remarks += [f"no clip came into {name}; there are too few" for name in self._splits if name not in filled]
        remarks += [f"{what}: {count}" for what, count in self._lost.items() if count]
        return tuple(remarks)

    def _media(self, record: Record) -> dict[str, dict[str, Any] | None]:
        """The record's files, as bytes and name. What cannot be had is None, and counted."""
        found: dict[str, dict[str, Any] | None] = dict.fromkeys(self._options.media)
        if self._options.image:
            picture = self._pictures.of(record)
            if picture:
                found["image"] = {"bytes": picture.read_bytes(), "path": picture.name}
            self._lost["records without a picture, which merrflow run makes"] += not picture
        if not (self._options.video or self._options.audio):
            return found
        clip = unchanged_clip_of(record)
        self._lost["clips that are not where they were, or have changed, and so not in the dataset"] += not clip
        if clip and self._options.video:
            found["video"] = {"bytes": clip.read_bytes(), "path": film_name(record)}
        if clip and self._options.audio:
            sound = sound_of(clip)
            found["audio"] = {"bytes": sound, "path": f"{record.name}.wav"} if sound else None
            self._lost["clips without a sound track"] += not sound
        return found


class ParquetDataset(HuggingFace):
    """The dataset as Parquet."""

    def _shards(self, folder: Path, name: str, shard_bytes: int, words: Vocabulary) -> Shards:
        return ParquetShards(folder, name, shard_bytes, arrow_schema(self._columns))

    def _features(self, table: tuple[Column, ...]) -> list[dict[str, Any]]:
        return parquet_features(table)


class WebDataset(HuggingFace):
    """The dataset as TAR files."""

    def _shards(self, folder: Path, name: str, shard_bytes: int, words: Vocabulary) -> Shards:
        return TarShards(folder, name, shard_bytes, words.labels)

    def _features(self, table: tuple[Column, ...]) -> list[dict[str, Any]]:
        return tar_features(table)


class HuggingFaceFormat(Format[HuggingFaceOptions]):
    """The format `huggingface`."""

    name = "huggingface"
    about = "Parquet with pictures, films or sounds, and a dataset card"
    options_type = HuggingFaceOptions
    has_card = True
    dataset: type[HuggingFace] = ParquetDataset

    def writer(self, target: Target) -> HuggingFace:
        return self.dataset(target.folder, target.peaks, target.vocabulary(), self.options, audit=target.audit)


class WebDatasetFormat(HuggingFaceFormat):
    """The format `webdataset`."""

    name = "webdataset"
    about = "the same as TAR files that are read in order, for large sets"
    dataset = WebDataset


def parse_split(text: str) -> dict[str, float]:
    """Shares from "validation=0.1,test=0.1". Raises `InputError` that names the part at fault."""
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = (piece.strip() for piece in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not (name.isascii() and name.isidentifier()) or not 0 < value < 1:
            raise InputError(f"split {part}: name a part and its share, such as validation=0.1")
        if name in shares or name == TRAIN:
            raise InputError(f"split {part}: {'train is what is left' if name == TRAIN else f'{name} is given twice'}")
        shares[name] = value
    if sum(shares.values()) >= 1:
        raise InputError(f"split {text}: the shares must come to less than 1, for train is what is left")
    return shares


def split_of(key: str, shares: Mapping[str, float], seed: int) -> str:
    """The split of a clip, drawn by hash: the same whatever other clips there are. key: the hash of its file."""
    drawn = fraction("split", seed, key)
    for name, share in shares.items():
        if drawn < share:
            return name
        drawn -= share
    return TRAIN
