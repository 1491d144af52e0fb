"""The ledger's tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

VERSION = 1  # of the tables; a ledger of a newer one is left alone
ROWS_VERSION = 2  # of what payloads hold; raise it if earlier versions cannot use them, which then leave them alone
RECORD = "record"  # the stage whose payload is the clip's whole record


class Text(sa.TypeDecorator[str]):
    """Text, whatever a damaged row of SQLite has there: its columns hold values of any type."""

    impl = sa.String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        if isinstance(value, bytes):
            return value.decode(errors="backslashreplace")
        return value if value is None or isinstance(value, str) else str(value)


class Whole(sa.TypeDecorator[int]):
    """A whole number; -1 for what a damaged row of SQLite has instead, which is no file's size or time, nor a newer
    version."""

    impl = sa.BigInteger
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> int:
        return value if isinstance(value, int) else -1


META = sa.MetaData()
CLIPS = sa.Table(
    "clips",
    META,
    sa.Column("name", Text, primary_key=True),
    sa.Column("path", Text, nullable=False, unique=True),
    sa.Column("size", Whole, nullable=False),
    sa.Column("mtime_ns", Whole, nullable=False),
    sa.Column("sha256", Text, nullable=False),  # "" if the file cannot be read
    sa.Column("sentence", Text),
    sa.Column("label", Text),
    sa.Column("fingerprint", Text),  # of the finished work, as in `stages` under RECORD
    sa.Column("outcome", Text),
    sa.Column("reason", Text),
    sa.Column("retry", sa.Boolean, nullable=False, default=False),  # worth another try in the next run
)
BY_BYTES = sa.Index("clips_sha256", CLIPS.c.sha256)
STAGES = sa.Table(
    "stages",
    META,
    sa.Column("clip", Text, sa.ForeignKey("clips.name"), primary_key=True),
    sa.Column("stage", Text, primary_key=True),
    sa.Column("fingerprint", Text, primary_key=True),
    sa.Column("outcome", Text, nullable=False),
    sa.Column("reason", Text, nullable=False),
    sa.Column("retry", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # zlib-compressed JSON
    sa.Column("seconds", sa.Float, nullable=False),  # wall time of the stage
    sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("schema_version", Whole, nullable=False, server_default="1"),  # ROWS_VERSION of who wrote it
)
# Of a row as it is read: its time, which a damaged row may not have, only orders rows.
ROW = tuple(column for column in STAGES.c if column.name != "finished_at")
# What people said of clips (datasets/review/). Rows are only added: to take one back is a row, too.
VERDICTS = sa.Table(
    "verdicts",
    META,
    sa.Column("id", sa.Integer, primary_key=True),  # ascending in the order in which they were committed
    sa.Column("key", Text, nullable=False, unique=True),  # made by who says it: sent twice, it is one row
    sa.Column("clip", Text, nullable=False, index=True),
    sa.Column("sha256", Text, nullable=False),  # of the bytes that were looked at
    sa.Column("reviewer", Text, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("audit", Text, nullable=False),  # the audit that it is part of; "" for a review
    sa.Column("said", Text, nullable=False),  # JSON
    sa.Column("undoes", sa.Integer),  # the row that this one takes back
    sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
)
# How good the texts of records are (datasets/scoring/). One row a clip and judge; "measures" is a judge, too.
SCORES = sa.Table(
    "scores",
    META,
    sa.Column("clip", Text, primary_key=True),
    sa.Column("judge", Text, primary_key=True),
    sa.Column("text", Text, nullable=False),  # digest of the text and of what it was judged by
    sa.Column("version", Text, nullable=False),  # of the judge
    sa.Column("found", Text, nullable=False),  # JSON
)
ABOUT = sa.Table("about", META, sa.Column("version", sa.Integer, primary_key=True))
