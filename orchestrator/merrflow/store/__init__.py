"""The ledger: the one truth about what is done. SQLite by default, PostgreSQL by URL.

`stages` holds one row for each (clip, stage, fingerprint); `clips` holds the clips of a dataset and how each
came out. A row is written in one transaction, after the files it names are written. Prefect holds runs and
progress, never truth.
"""

from merrflow.store.ledger import Ledger, existing_ledger
from merrflow.store.rows import ClipResults, ClipRow, ClipStatus, StageRow
from merrflow.store.run_queries import batched
from merrflow.store.tables import RECORD
from merrflow.store.transactions import PackedRow

__all__ = [
    "RECORD",
    "ClipResults",
    "ClipRow",
    "ClipStatus",
    "Ledger",
    "PackedRow",
    "StageRow",
    "batched",
    "existing_ledger",
]
