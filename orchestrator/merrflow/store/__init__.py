"""The ledger: the one truth about what is done. SQLite by default, PostgreSQL by URL.

`stages` holds one row for each (clip, stage, fingerprint); `clips` holds the clips of a dataset and how each
came out; `verdicts` holds what people said of them, `scores` how good their texts are. A row is written in one
transaction, after the files it names are written. Prefect holds runs and progress, never truth.
"""

from merrflow.store.grouped_writes import GroupedWrites
from merrflow.store.ledger import Ledger, existing_ledger, forgotten
from merrflow.store.rows import ClipResults, ClipRow, ClipStatus, StageRow, StageWrite
from merrflow.store.run_queries import batched
from merrflow.store.score_queries import ScoreRow
from merrflow.store.tables import RECORD
from merrflow.store.transactions import PackedRow
from merrflow.store.verdict_queries import UNDO, ClipGone, NotYours, VerdictRow, live

__all__ = [
    "RECORD",
    "UNDO",
    "ClipGone",
    "ClipResults",
    "ClipRow",
    "ClipStatus",
    "GroupedWrites",
    "Ledger",
    "NotYours",
    "PackedRow",
    "ScoreRow",
    "StageRow",
    "StageWrite",
    "VerdictRow",
    "batched",
    "existing_ledger",
    "forgotten",
    "live",
]
