"""What a clip's decoding leaves for later stages, such as pictures for OCR, up to a number of bytes of all clips."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Held(Generic[Item]):
    """Items of the clips in work. Any thread.

    A clip of which one item does not fit is not held at all: whoever needs the items reads its file again.
    """

    def __init__(self, most_bytes: int = 0) -> None:
        self._free = most_bytes
        self._lock = Lock()
        self._items: dict[str, list[Item]] = {}  # by clip
        self._bytes: dict[str, int] = {}  # of each

    def begin(self, clip: str) -> None:
        """Before a clip is decoded: what was held of it is let go."""
        with self._lock:
            self._let_go(clip)
            self._items[clip], self._bytes[clip] = [], 0

    def add(self, clip: str, item: Item, size: int) -> None:
        """Holds one more item of `size` bytes, if there is room and all before it are held."""
        with self._lock:
            if clip not in self._items:
                return
            if size > self._free:
                self._let_go(clip)
                return
            self._free -= size
            self._bytes[clip] += size
            self._items[clip].append(item)

    def take(self, clip: str) -> tuple[Item, ...] | None:
        """All items of a clip, which are no longer held; None if they did not fit, or were taken before."""
        with self._lock:
            items = self._let_go(clip)
            return None if items is None else tuple(items)

    def _let_go(self, clip: str) -> list[Item] | None:
        self._free += self._bytes.pop(clip, 0)
        return self._items.pop(clip, None)
