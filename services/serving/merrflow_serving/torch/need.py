"""How much of a GPU an engine needs, known before it loads. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """Bytes of GPU memory of one engine; what a `PlansMemory` engine returns from `need()`.

    An engine that has a card to itself works from `least` upwards, with smaller batches. Next to others it may take up
    to `full`, and whichever loads first would leave the others too little: so engines share a card if the sum of their
    `full` fits.
    """

    least: int  # weights, and work space for one item
    full: int  # weights, and work space for the largest batch that the settings allow
    share: float = 0.0  # of the card, for an engine that takes that part of it whatever its model needs

    def on(self, card: int) -> Need:
        """The same on a card of `card` bytes, with the share converted to bytes."""
        return Need(self.least, max(self.full, int(self.share * card)), 0.0)
