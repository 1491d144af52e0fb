"""Review queues: the clips of a finished run that come nearest to a rare label. Calls no model."""

from merrflow.datasets.mining.rank import Candidate, Mined, mine

__all__ = ["Candidate", "Mined", "mine"]
