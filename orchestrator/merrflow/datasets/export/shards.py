"""The files of one split of a dataset: rows in pieces of bounded size, as Parquet or as TAR (WebDataset)."""

from __future__ import annotations

import io
import json
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from merrflow.datasets.export.columns import MEDIA, Column

SHARD = 450_000_000  # bytes of a shard before compression, under the 500 MB that Hugging Face recommends
GROUP = 100  # rows of a row group: what a reader decodes at once, pictures and all
GROUP_BYTES = 50_000_000  # of pictures, films and sounds in a row group; a group of one row may have more
FILES = {
    "image": "jpg",
    "video": "mp4",
    "audio": "wav",
}  # column -> extension within a TAR, whatever the file's own was
Row = Mapping[str, Any]


class Shards(ABC):
    """The shards of one split, each begun when the one before is full. A context manager that closes its file."""

    extension: ClassVar[str]

    def __init__(self, folder: Path, name: str, shard_bytes: int) -> None:
        self.rows = 0
        self.data_bytes = 0
        self.file_bytes = 0
        self._folder = folder
        self._name = name
        self._limit = shard_bytes
        self._shards: list[Path] = []
        self._in_shard = 0  # bytes

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *error: object) -> None:
        self._end_shard()

    @abstractmethod
    def add(self, row: Row) -> None:
        """Takes a row. Columns of MEDIA hold `{"bytes": ..., "path": ...}` or None."""

    @abstractmethod
    def _end_shard(self) -> None:
        """Closes the shard that is being written, if there is one."""

    def close(self) -> None:
        """Writes the rest, and gives the shards their names, now that their number is known."""
        self._end_shard()
        for number, path in enumerate(self._shards):
            self.file_bytes += path.stat().st_size
            path.rename(self._folder / f"{self._name}-{number:05}-of-{len(self._shards):05}.{self.extension}")

    def _has_room(self, size: int) -> bool:
        """Whether a shard is being written that this many bytes more do not make too large."""
        return 0 < self._in_shard <= self._limit - size

    def _next_shard(self) -> Path:
        self._end_shard()
        self._in_shard = 0
        self._shards.append(self._folder / f"{self._name}-{len(self._shards):05}.{self.extension}")
        return self._shards[-1]

    def _count(self, rows: int, size: int) -> None:
        self.rows += rows
        self.data_bytes += size
        self._in_shard += size


class ParquetShards(Shards):
    """Parquet, which `datasets` reads with the features that the schema names."""

    extension = "parquet"

    def __init__(self, folder: Path, name: str, shard_bytes: int, schema: Any) -> None:
        super().__init__(folder, name, shard_bytes)
        self._schema = schema
        self._waiting: list[Row] = []
        self._waiting_bytes = 0
        self._writer: Any = None

    def add(self, row: Row) -> None:
        size = media_bytes(row)
        if self._waiting_bytes + size > GROUP_BYTES:
            self._flush()
        self._waiting.append(row)
        self._waiting_bytes += size
        if len(self._waiting) >= GROUP:
            self._flush()

    def close(self) -> None:
        """As the base class."""
        self._flush()
        super().close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        table = pa.Table.from_pylist(self._waiting, schema=self._schema)
        if not self._has_room(table.nbytes):
            self._writer = pq.ParquetWriter(self._next_shard(), self._schema, compression="zstd")
        self._writer.write_table(table)
        self._count(len(self._waiting), table.nbytes)
        self._waiting, self._waiting_bytes = [], 0

    def _end_shard(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None


class TarShards(Shards):
    """TAR files as WebDataset has them: `KEY.json`, `KEY.jpg`, ... of one row after the other.

    Keys are numbers, for readers end a key at the first dot, so that clips called a.1 and a.2 would be one.
    """

    extension = "tar"

    def __init__(self, folder: Path, name: str, shard_bytes: int, labels: tuple[str, ...]) -> None:
        super().__init__(folder, name, shard_bytes)
        self._labels = labels
        self._tar: tarfile.TarFile | None = None

    def add(self, row: Row) -> None:
        files = {FILES[name]: row[name]["bytes"] for name in MEDIA if row.get(name)}
        values = {name: value for name, value in row.items() if name not in MEDIA}
        values["label"] = self._labels[row["label"]]
        files["json"] = json.dumps(values).encode()
        size = sum(map(len, files.values()))
        if self._tar is None or not self._has_room(size):
            self._tar = tarfile.TarFile(self._next_shard(), "w", format=tarfile.USTAR_FORMAT)
        for extension, data in files.items():
            self._tar.addfile(_Member(f"{self.rows:09}.{extension}", len(data)), io.BytesIO(data))
        self._count(1, size)

    def _end_shard(self) -> None:
        if self._tar:
            self._tar.close()
        self._tar = None


class _Member(tarfile.TarInfo):
    """A file of time 0 and no owner, so that the bytes are the same each time."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name)
        self.size = size


def media_bytes(row: Row) -> int:
    """Bytes of the files in a row."""
    return sum(len(row[name]["bytes"]) for name in MEDIA if row.get(name))


def arrow_schema(table: tuple[Column, ...]) -> Any:
    """The Arrow schema, with the features in its metadata, where the `datasets` library looks for them."""
    import pyarrow as pa

    features = {column.name: column.kind.feature for column in table}
    metadata = {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)}
    return pa.schema([pa.field(column.name, _arrow(column.kind.arrow)) for column in table], metadata=metadata)


def parquet_features(table: tuple[Column, ...]) -> list[dict[str, Any]]:
    """The features for a card's YAML."""
    return [{"name": column.name, **column.kind.yaml} for column in table]


def tar_features(table: tuple[Column, ...]) -> list[dict[str, Any]]:
    """The same of a WebDataset, whose reader would else guess them from the first five rows."""
    media = [{"name": FILES[column.name], **column.kind.yaml} for column in table if column.name in MEDIA]
    values = [
        {"name": column.name, **({"dtype": "string"} if column.name == "label" else column.kind.yaml)}
        for column in table
        if column.name not in MEDIA
    ]
    keys = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return [*media, {"name": "json", "struct": values}, *keys]


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, dict):
        return pa.struct([pa.field(name, _arrow(part)) for name, part in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    return getattr(pa, {"bool": "bool_"}.get(kind, kind))()
