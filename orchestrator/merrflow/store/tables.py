"""The ledger's tables."""

from __future__ import annotations

import sqlalchemy as sa

VERSION = 1  # of the tables; a ledger of a newer one is left alone
ROWS_VERSION = 1  # of what payloads hold; raise it if earlier versions cannot use them, which then leave them alone
RECORD = "record"  # the stage whose payload is the clip's whole record

META = sa.MetaData()
CLIPS = sa.Table(
    "clips",
    META,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("path", sa.String, nullable=False, unique=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),  # "" if the file cannot be read
    sa.Column("sentence", sa.String),
    sa.Column("label", sa.String),
    sa.Column("fingerprint", sa.String),  # of the finished work, as in `stages` under RECORD
    sa.Column("outcome", sa.String),
    sa.Column("reason", sa.String),
    sa.Column("retry", sa.Boolean, nullable=False, default=False),  # worth another try in the next run
)
BY_BYTES = sa.Index("clips_sha256", CLIPS.c.sha256)
STAGES = sa.Table(
    "stages",
    META,
    sa.Column("clip", sa.String, sa.ForeignKey("clips.name"), primary_key=True),
    sa.Column("stage", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("retry", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # zlib-compressed JSON
    sa.Column("seconds", sa.Float, nullable=False),  # wall time of the stage
    sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("schema_version", sa.Integer, nullable=False, server_default="1"),  # ROWS_VERSION of who wrote it
)
# Of a row as it is read: its time, which a damaged row may not have, only orders rows.
ROW = tuple(column for column in STAGES.c if column.name != "finished_at")
ABOUT = sa.Table("about", META, sa.Column("version", sa.Integer, primary_key=True))
