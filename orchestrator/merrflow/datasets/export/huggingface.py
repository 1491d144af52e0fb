"""A Hugging Face dataset: Parquet shards with the pictures in them, and a dataset card.

`datasets.load_dataset(folder)` reads it as it is, with features: pictures, class labels, lists. The absolute paths of
clips are not in it, for they reveal the machine it was made on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import fraction
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.card import Card
from merrflow.datasets.export.columns import PICTURE, Column, columns
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.text import clean_all
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.pictures import Pictures

SHARD = 450_000_000  # bytes of a shard before compression, under the 500 MB that Hugging Face recommends
GROUP = 100  # rows of a row group: what a reader decodes at once, pictures and all
TRAIN = "train"


class HuggingFaceOptions(FormatOptions):
    """How the clips are divided."""

    split: Mapping[str, float] = Field(
        {}, description="parts and their shares, such as validation=0.1,test=0.1; the rest is train"
    )
    seed: int = Field(0, description="of the split")

    @field_validator("split", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return parse_split(value) if isinstance(value, str) else value


class HuggingFaceFormat(Format[HuggingFaceOptions]):
    """The format `huggingface`."""

    name = "huggingface"
    about = "Parquet with pictures, and a dataset card"
    options_type = HuggingFaceOptions

    def writer(self, target: Target) -> HuggingFace:
        return HuggingFace(target.folder, target.peaks, target.vocabulary(), self.options.split, self.options.seed)


class HuggingFace(Writer):
    """Writes `data/<split>-00000-of-00001.parquet` and `README.md` into `folder`."""

    def __init__(
        self,
        folder: Path,
        peaks: Path,
        words: Vocabulary,
        splits: Mapping[str, float],
        seed: int = 0,
        shard_bytes: int = SHARD,
    ) -> None:
        """peaks: the run's folder of pictures. splits: share of the clips by name; the rest is "train"."""
        super().__init__()
        self._folder = folder
        self._pictures = Pictures(peaks)
        self._shares = dict(splits)
        self._seed = seed
        self._columns = columns(words)
        self._no_picture = 0
        schema = arrow_schema(self._columns)
        (folder / "data").mkdir()
        self._splits = {
            name: self.files.enter_context(_Split(folder / "data", name, schema, shard_bytes))
            for name in (TRAIN, *self._shares)
        }
        self._card = Card(self._columns)

    def add(self, entry: Entry) -> str:
        row = clean_all({column.name: column.take(entry) for column in self._columns})
        if picture := self._pictures.of(entry.record):
            row[PICTURE] = {"bytes": picture.read_bytes(), "path": picture.name}
        else:
            self._no_picture += 1
        self._splits[split_of(entry.record.sha256 or entry.record.name, self._shares, self._seed)].add(row)
        self._card.add(entry)
        return ""

    def finish(self) -> tuple[str, ...]:
        for split in self._splits.values():
            split.close()
        filled = {name: split for name, split in self._splits.items() if split.rows}
        sizes = {name: (split.rows, split.arrow_bytes, split.file_bytes) for name, split in filled.items()}
        (self._folder / "README.md").write_text(self._card.text(sizes, self._seed), encoding="utf-8")
        remarks = ["records in " + ", ".join(f"{name}: {split.rows}" for name, split in filled.items())]
        remarks += [f"no clip came into {name}; there are too few" for name in self._splits if name not in filled]
        if self._no_picture:
            remarks.append(f"records without a picture, which merrflow run makes: {self._no_picture}")
        return tuple(remarks)


class _Split:
    """The shards of one split, each begun when the one before is full. A context manager that closes its file."""

    def __init__(self, folder: Path, name: str, schema: Any, shard_bytes: int) -> None:
        self.rows = 0
        self.arrow_bytes = 0
        self.file_bytes = 0
        self._folder = folder
        self._name = name
        self._schema = schema
        self._limit = shard_bytes
        self._waiting: list[dict[str, Any]] = []
        self._shards: list[Path] = []
        self._writer: Any = None
        self._in_shard = 0  # bytes

    def __enter__(self) -> _Split:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer:
            self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= GROUP:
            self._flush()

    def close(self) -> None:
        """Writes the rest, and gives the shards their names, now that their number is known."""
        self._flush()
        self._end_shard()
        for number, path in enumerate(self._shards):
            self.file_bytes += path.stat().st_size
            path.rename(self._folder / f"{self._name}-{number:05}-of-{len(self._shards):05}.parquet")

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        table = pa.Table.from_pylist(self._waiting, schema=self._schema)
        if self._writer and self._in_shard + table.nbytes > self._limit:
            self._end_shard()
        if not self._writer:
            path = self._folder / f"{self._name}-{len(self._shards):05}.parquet"
            self._shards.append(path)
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._writer.write_table(table)
        self._in_shard += table.nbytes
        self.arrow_bytes += table.nbytes
        self.rows += len(self._waiting)
        self._waiting = []

    def _end_shard(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None
        self._in_shard = 0


def parse_split(text: str) -> dict[str, float]:
    """Shares from "validation=0.1,test=0.1". Raises `InputError` that names --split and the part at fault."""
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = (piece.strip() for piece in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not (name.isascii() and name.isidentifier()) or not 0 < value < 1:
            raise InputError(f"--split {part}: name a part and its share, such as validation=0.1")
        if name in shares or name == TRAIN:
            raise InputError(
                f"--split {part}: {'train is what is left' if name == TRAIN else f'{name} is given twice'}"
            )
        shares[name] = value
    if sum(shares.values()) >= 1:
        raise InputError(f"--split {text}: the shares must come to less than 1, for train is what is left")
    return shares


def split_of(key: str, shares: Mapping[str, float], seed: int) -> str:
    """The split of a clip, drawn by hash: the same whatever other clips there are. key: the hash of its file."""
    drawn = fraction("split", seed, key)
    for name, share in shares.items():
        if drawn < share:
            return name
        drawn -= share
    return TRAIN


def arrow_schema(table: tuple[Column, ...]) -> Any:
    """The Arrow schema, with the features in its metadata, where the `datasets` library looks for them."""
    import pyarrow as pa

    features = {column.name: column.kind.feature for column in table}
    metadata = {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)}
    return pa.schema([pa.field(column.name, _arrow(column.kind.arrow)) for column in table], metadata=metadata)


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, dict):
        return pa.struct([pa.field(name, _arrow(part)) for name, part in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    return getattr(pa, {"bool": "bool_"}.get(kind, kind))()
