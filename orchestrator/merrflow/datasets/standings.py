"""A label's standing in words, for reports and exports."""

from __future__ import annotations

from merrflow.core.labels import Label
from merrflow.datasets.entries import Entry


def standing_of(entry: Entry) -> tuple[str | None, str | None]:
    """Verdict and reason; None twice for records of versions that had no standing."""
    standing = entry.record.label.standing
    return (str(standing.verdict), standing.reason) if standing else (None, None)


def votes_in_words(label: Label) -> list[str]:
    """ "words, against (0.5): “hate” is said, ..." for each witness; empty without a standing."""
    votes = label.standing.votes if label.standing else ()
    return [
        f"{vote.witness}, {vote.vote}{f' ({vote.weight:g})' if vote.weight else ''}: {vote.reason}" for vote in votes
    ]
