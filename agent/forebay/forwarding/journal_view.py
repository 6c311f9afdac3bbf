"""What the forwarder needs of the journal, and no more.

Owns the words; `journal.Journal` satisfies them. Must not know files, segments' layout or the
writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence
    from pathlib import Path

    from forebay.interfaces import Head
    from forebay.journal.entry import Entry
    from forebay.model import Position, Record, RecordKind, Schema, Stream


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

    def accept(self, position: Position, samples: int) -> None:
        """Note that the destination took after all what was told to `reject`."""
        ...

    def begin(
        self, stream: Stream, position: Position, islands: Iterable[tuple[Position, Position]] = ()
    ) -> None:
        """Note that a session begins: the destination has all up to `position`, and the `islands`.

        What an earlier session was given besides is over.
        """
        ...

    def keep(self, stream: Stream, islands: Iterable[tuple[Position, Position]]) -> None:
        """Note that the destination has these `islands` by now: first and last positions."""
        ...

    def islands(self, stream: Stream) -> Sequence[tuple[Position, Position]]:
        """Give the islands that `begin` or `keep` was last told, in this run or an earlier one."""
        ...

    def rewind(self, position: Position) -> None:
        """Go back: the destination has lost what lies behind `position`, and will get it again."""
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


class CopyView(Protocol):
    """One record in quarantine."""

    @property
    def position(self) -> Position:
        """The record's own."""
        ...

    @property
    def kind(self) -> RecordKind:
        """What it is."""
        ...

    @property
    def samples(self) -> int:
        """How many are in it."""
        ...


class QuarantineView(Protocol):
    """Copies of records that a destination refused for good, or on which it broke."""

    def copies(self, uplink: str = "") -> Sequence[CopyView]:
        """Give the copies of one uplink, or of all, oldest first."""
        ...

    async def put(
        self, record: Record, *, uplink: str, code: str, reason: str, schema: bytes = b""
    ) -> None:
        """Keep a copy, durable on return; QuarantineError if the disk refuses."""
        ...


class JournalView(Protocol):
    """The durable log, from a reader's side."""

    @property
    def directory(self) -> Path:
        """Where it lies; small state may be kept beside it."""
        ...

    @property
    def quarantine(self) -> QuarantineView:
        """Where records are set aside."""
        ...

    async def read(
        self,
        after: Position,
        max_bytes: int,
        cursor: Any = None,  # noqa: ANN401 - one that this journal gave; no other journal's
    ) -> Sequence[Record]:
        """Give durable records strictly after `after`, in order.

        About `max_bytes` of them, and at least one if there is any. With a cursor they count as
        given to its consumer, and are not thinned while it has not passed them.
        """
        ...

    def submit(self, entries: Sequence[Entry]) -> Awaitable[None]:
        """Have entries written; what it gives ends when they are durable. May raise JournalFull."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch that is written in from now on, 0 for none; older ones get nothing any more."""
        ...

    async def new_epoch(self, reason: str, above: int = 0) -> None:
        """Let what is written from now on stand in a new epoch, younger than `above`."""
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

    def newest(self, stream: Stream) -> Position:
        """Give the last durable record's position; `(stream, 0, 0)` if there is none."""
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
