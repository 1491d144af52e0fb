"""How much of a GPU an engine takes, told before it loads. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """Bytes of GPU memory of one engine; what its optional method `need()` answers.

    An engine on a card of its own works from `least` on, with smaller batches. Beside others it takes up to `full`, and
    whoever loads first would leave the others too little: so engines share a card where their `full` fit together.
    """

    least: int  # weights, and work space for one item
    full: int  # weights, and work space for the largest batch that the settings allow
    share: float = 0.0  # of the card, for an engine that takes such a part of it whatever its model needs

    def on(self, card: int) -> Need:
        """The same on a card of `card` bytes, where a share is known in bytes."""
        return Need(self.least, max(self.full, int(self.share * card)), 0.0)
