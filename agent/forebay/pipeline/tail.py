"""The newest batches in memory, for readers of the journal that cannot wait for the disk.

Owns a bounded ring of what is on its way to the journal, in the order in which each stream's
records will stand there. A reader that falls behind it reads the journal instead. Must not know who
reads, nor what becomes durable.

    accept ──▶ record closed ──▶ Tail (memory, at once) ──▶ readers
                     └──▶ journal (with the next commit) ──▶ the same readers, for positions
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.model import Batch, Schema, Stream

RING_BYTES = 8 << 20
"""Raw bytes of the batches that are kept."""
PROMPT_EVERY_S = 0.02
"""A schema's records are closed early for readers at most this often: small ones cost more."""
_KNOWN_MOST = 4096


class Item(NamedTuple):
    """One record to be: its batches, and its payload as it will stand in the journal."""

    number: int
    stream: Stream
    batches: tuple[Batch, ...]
    payload: bytes
    nbytes: int


class Tail:
    """A ring that the pipeline fills. All on one event loop."""

    def __init__(self) -> None:
        """Keep nothing until somebody wants something."""
        self._items: deque[Item] = deque()
        self._numbers: dict[bytes, int] = {}
        self._bytes = 0
        self._wanted: dict[object, Callable[[Stream, Schema], bool]] = {}
        self._known: dict[tuple[Stream, int], bool] = {}
        self._more: dict[object, asyncio.Event] = {}
        self.next = 0
        """The number that the next item will have."""

    @property
    def first(self) -> int:
        """The number of the oldest item that is kept; `next` if there is none."""
        return self._items[0].number if self._items else self.next

    def subscribe(self, who: object, wants: Callable[[Stream, Schema], bool]) -> asyncio.Event:
        """Keep what `wants` from now on; give the event that is set for each such item.

        Whoever waits for it clears it. Again for the same `who`: it wants something else.
        """
        self._wanted[who] = wants
        self._known.clear()
        return self._more.setdefault(who, asyncio.Event())

    def unsubscribe(self, who: object) -> None:
        """Want nothing any more."""
        self._wanted.pop(who, None)
        self._more.pop(who, None)
        self._known.clear()
        if not self._wanted:
            self._items.clear()
            self._numbers.clear()
            self._bytes = 0

    def wants(self, stream: Stream, schema: Schema) -> bool:
        """Whether anybody wants batches of `schema` at once."""
        if not self._wanted:
            return False
        key = stream, schema.id
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_MOST:
                self._known.clear()
            known = any(wants(stream, schema) for wants in self._wanted.values())
            self._known[key] = known
        return known

    def put(self, batches: Sequence[Batch], payload: bytes) -> None:
        """Take what was just put on its way to the journal."""
        stream, nbytes = batches[0].stream, sum(batch.nbytes for batch in batches)
        self._items.append(Item(self.next, stream, tuple(batches), payload, nbytes))
        self._numbers[payload] = self.next
        self.next += 1
        self._bytes += nbytes
        while self._bytes > RING_BYTES and len(self._items) > 1:
            gone = self._items.popleft()
            self._bytes -= gone.nbytes
            if self._numbers.get(gone.payload) == gone.number:
                del self._numbers[gone.payload]
        for more in self._more.values():
            more.set()

    def find(self, payload: bytes) -> int | None:
        """Give the number of the item with this payload, if it is still kept."""
        return self._numbers.get(payload)

    def since(self, number: int) -> list[Item]:
        """Give the items from `number` on; those that are kept."""
        begin = max(0, number - self.first)
        return [self._items[place] for place in range(begin, len(self._items))]
