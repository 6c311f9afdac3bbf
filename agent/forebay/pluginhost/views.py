"""What the data side of the plugin host needs of journal, pipeline and gate, and no more.

Owns the words; `journal.Journal`, `pipeline.Pipeline` and its tail satisfy them. Must not know how.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from forebay.interfaces import Value

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from forebay.model import Batch, Gap, Position, Record, Schema, Stream

Write = Callable[[str, str, Value, str, str], Awaitable[tuple[str, str]]]
"""Ask the gate: device, tag, value, id, reason. Gives the outcome and its detail; never raises."""


class JournalView(Protocol):
    """What is needed of the journal."""

    async def read(self, after: Position, max_bytes: int) -> Sequence[Record]:
        """Give durable records after `after`, in order."""
        ...

    async def wait_beyond(self, position: Position) -> None:
        """Return once a durable record after `position` exists."""
        ...

    def newest(self, stream: Stream) -> Position:
        """Give the last durable record's position."""
        ...

    def schema(self, schema_id: int) -> Schema:
        """Give a schema; KeyError if no live segment holds it."""
        ...


class ItemView(Protocol):
    """One record that is on its way to the disk."""

    @property
    def number(self) -> int:
        """Its number in the tail."""
        ...

    @property
    def stream(self) -> Stream:
        """Its stream."""
        ...

    @property
    def batches(self) -> tuple[Batch, ...]:
        """What it holds."""
        ...

    @property
    def payload(self) -> bytes:
        """As it will stand in the journal."""
        ...


class TailView(Protocol):
    """What is needed of `pipeline.tail.Tail`."""

    @property
    def first(self) -> int:
        """The number of the oldest item that is kept."""
        ...

    @property
    def next(self) -> int:
        """The number that the next item will have."""
        ...

    def find(self, payload: bytes) -> int | None:
        """Give the number of the item with this payload."""
        ...

    def since(self, number: int) -> Sequence[ItemView]:
        """Give the items from `number` on."""
        ...


class CursorView(Protocol):
    """What a plugin says of itself to retention."""

    def advance(self, position: Position) -> None:
        """Note that nothing up to `position` is needed any more."""
        ...


class SegmentView(Protocol):
    """A run of records of one epoch."""

    @property
    def stream(self) -> Stream:
        """Its stream."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch of all its records."""
        ...

    @property
    def first_seq(self) -> int:
        """Seq of its first record."""
        ...

    @property
    def last_seq(self) -> int:
        """Seq of its last."""
        ...


class FollowedJournal(JournalView, Protocol):
    """The journal, as a feed needs it."""

    async def opened(self) -> None:
        """Return once there is a journal."""
        ...

    def cursor(self, name: str) -> CursorView:
        """Give the cursor of a consumer."""
        ...

    def segments(self) -> Sequence[SegmentView]:
        """Give all segments, oldest first within a stream."""
        ...


class Subscribable(TailView, Protocol):
    """`pipeline.tail.Tail`."""

    def subscribe(self, who: object, wants: Callable[[Stream, Schema], bool]) -> asyncio.Event:
        """Keep what `wants(stream, schema)` from now on; the event is set for each item."""
        ...

    def unsubscribe(self, who: object) -> None:
        """Want nothing any more."""
        ...


class IntakeView(Protocol):
    """`pipeline.intake.Pipeline`, as far as it is needed."""

    async def accept(self, batch: Batch) -> None:
        """Take responsibility for a batch."""
        ...

    def account(self, gap: Gap) -> None:
        """Take over a gap."""
        ...

    async def settled(self) -> None:
        """Return when all that was accepted until now is durable."""
        ...
