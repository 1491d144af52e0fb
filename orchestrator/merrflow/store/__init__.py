"""The ledger: the one truth about what is done. SQLite by default, PostgreSQL by URL.

`stages` holds one row for each (clip, stage, fingerprint); `clips` holds the clips of a dataset and how each
came out. A row is written in one transaction, after the files it speaks of are in place. Prefect holds runs and
progress, never truth.
"""

from merrflow.store.ledger import Ledger, batched, existing_ledger
from merrflow.store.rows import ClipRow, StageRow, Standing, Stored
from merrflow.store.tables import RECORD

__all__ = ["RECORD", "ClipRow", "Ledger", "StageRow", "Standing", "Stored", "batched", "existing_ledger"]
