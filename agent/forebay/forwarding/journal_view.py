"""What the forwarder needs of the journal, and no more.

Owns the words; `journal.Journal` satisfies them. Must not know files, segments' layout or the
writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.interfaces import Head
    from forebay.model import Position, Record, Schema, Stream


class WitnessView(Protocol):
    """The hash chain that a destination of this `incarnation` had at `position`."""

    @property
    def position(self) -> Position:
        """Where the chain holds."""
        ...

    @property
    def chain(self) -> bytes:
        """The chain, 32 bytes."""
        ...

    @property
    def incarnation(self) -> str:
        """The destination's."""
        ...


class CursorView(Protocol):
    """One consumer's durable place in each stream. A hint: the destination is the authority."""

    def get(self, stream: Stream) -> Position:
        """Give the last position the consumer is done with; `(stream, 0, 0)` before the first."""
        ...

    def advance(self, position: Position) -> None:
        """Note that the consumer is done with everything up to `position`; never goes back."""
        ...

    def reject(self, position: Position, samples: int) -> None:
        """Note that the destination refused the record at `position` for good.

        Its `samples` count as quarantined once `advance` passes it.
        """
        ...

    def witness(self, stream: Stream) -> WitnessView | None:
        """Give what `testify` was last told of `stream`, in this run or an earlier one."""
        ...

    def testify(self, position: Position, chain: bytes, incarnation: str) -> None:
        """Note that the destination of this `incarnation` has the hash chain `chain` there."""
        ...


class SegmentView(Protocol):
    """A run of records of one epoch, as the journal accounts for it."""

    @property
    def stream(self) -> Stream:
        """The stream it belongs to."""
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
        """Seq of its last record; below `first_seq` while it is empty."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes of its records."""
        ...

    @property
    def time_min_ns(self) -> int:
        """Earliest source time in it, ns since 1970 UTC; 0 if it holds no sample."""
        ...

    @property
    def time_max_ns(self) -> int:
        """Latest source time in it, ns since 1970 UTC; 0 if it holds no sample."""
        ...


class JournalView(Protocol):
    """The durable log, from a reader's side."""

    async def read(self, after: Position, max_bytes: int) -> Sequence[Record]:
        """Give durable records strictly after `after`, in order.

        About `max_bytes` of them, and at least one if there is any.
        """
        ...

    async def wait_beyond(self, position: Position) -> None:
        """Return once a durable record after `position` exists."""
        ...

    async def chain(
        self, position: Position, since: tuple[Position, bytes] | None = None
    ) -> bytes | None:
        """Give the hash chain at `position`, reckoned from `since` or from the epoch's beginning.

        None if a record on the way is gone.
        """
        ...

    def heads(self) -> Sequence[Head]:
        """Give what there is of each stream's epochs, oldest first."""
        ...

    def schema(self, schema_id: int) -> Schema:
        """Give a schema that some live segment holds; KeyError if none does. Any thread may ask."""
        ...

    def cursor(self, name: str) -> CursorView:
        """Give the cursor of the consumer `name`."""
        ...

    def segments(self) -> Sequence[SegmentView]:
        """Give the segments, oldest first within a stream."""
        ...
