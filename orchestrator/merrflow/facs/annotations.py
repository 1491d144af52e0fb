"""Labels and Action Units of published annotations, to fit and to measure rule sets on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Annotations:
    """Records in the order of their names, so that the order in the file never matters."""

    file: str  # name without folders
    sha256: str  # of the file's bytes
    labels: tuple[str, ...]  # one a record, in the rule set's words
    units: tuple[frozenset[str], ...]  # Action Units present at the peak, one set per record
