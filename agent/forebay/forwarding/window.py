"""What is in flight: sent, acknowledged, and how much more the destination lets us send.

Owns the check of every receipt against what was sent. Pure: times come in as arguments. Must not
know sockets or the journal.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from forebay.errors import UplinkMisbehaved
from forebay.forwarding.coverage import Coverage
from forebay.forwarding.lanes import Lane
from forebay.model import Position, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from forebay.interfaces import Receipt
    from forebay.model import Record

MAX_CREDIT_BYTES = 64 << 20
"""Credit above this is not used: the transport holds what is in flight in memory."""
MAX_RECORDS = 16_384
"""Records in flight, whatever their size."""

Epoch = tuple[Stream, int]


class Flight(NamedTuple):
    """A record in flight: its payload bytes, when it left, and what had been acknowledged then.

    `number` counts all that was handed to the transport in this session, up to this one.
    """

    position: Position
    size: int
    samples: int
    sent_s: float
    acked_bytes: int
    number: int = 0


class Freed(NamedTuple):
    """What a receipt brought: records and payload bytes newly acknowledged.

    `refused` are those of the rejected positions that were in flight, with their codes and samples.
    `last` is the newest of what was freed.
    """

    records: int
    size_bytes: int
    refused: tuple[tuple[Position, str, int], ...] = ()
    last: Flight | None = None


@dataclass(slots=True)
class _Line:
    """One stream's epoch within a session.

    `began` is what the destination had whole at its beginning, `told` its last word. `known` is
    what it need not be sent: it had that, was told that it will not come, or was sent it in this
    session. `acked` is the part of it that it has said it has.
    """

    began: int
    told: int
    known: Coverage
    acked: Coverage


_NOTHING: Final = _Line(0, 0, Coverage(), Coverage())


class Window:
    """The account of one session. Starts from what the destination said it had."""

    def __init__(
        self,
        there: Mapping[Epoch, Coverage],
        credit_bytes: int,
        closed: Collection[Epoch] = (),
    ) -> None:
        """Begin with what the destination has, by stream and epoch.

        Of epochs that are `closed` it may have more than we, or say so: nothing is written there
        any more, or it counts what it has only a gap for.
        """
        self._closed = frozenset(closed)
        self._lines = {
            key: _Line(runs.whole, runs.whole, Coverage(runs), Coverage(runs))
            for key, runs in there.items()
        }
        self._flying: dict[Stream, dict[Lane, deque[Flight]]] = {
            stream: {lane: deque() for lane in Lane} for stream in Stream
        }
        self._newest: dict[Stream, int] = {}
        self._bytes = self._records = self._handed = 0
        self._answered: int | None = None
        self._waiting_since_s: float | None = None
        self._credit = self._bounded(credit_bytes)
        self.acked_bytes = 0
        """Payload bytes acknowledged in this session."""

    @property
    def credit_bytes(self) -> int:
        """Payload bytes that may be in flight, as the destination last said."""
        return self._credit

    @property
    def unacked_bytes(self) -> int:
        """Payload bytes in flight."""
        return self._bytes

    @property
    def unacked_records(self) -> int:
        """Records in flight."""
        return self._records

    @property
    def waiting_since_s(self) -> float | None:
        """When the wait for the next ack began (monotonic); None: nothing is in flight.

        That is the last progress, or the first send after idleness.
        """
        return self._waiting_since_s

    def knows(self, position: Position) -> bool:
        """Whether the destination has the record, or was sent it in this session."""
        line = self._lines.get(position[:2])
        return line is not None and line.known.covers(position.seq)

    def unknown(self, first: Position, last_seq: int) -> int:
        """Give the first seq of a run that the destination knows nothing of; 0 if it knows all."""
        return self._lines.get(first[:2], _NOTHING).known.missing(first.seq, last_seq)

    def there(self, stream: Stream, epoch: int) -> Coverage:
        """Give what the destination has said it has."""
        return self._lines.get((stream, epoch), _NOTHING).acked

    def runs(self) -> dict[Epoch, Coverage]:
        """Give all that the destination has said it has."""
        return {key: line.acked for key, line in self._lines.items()}

    def may_send(self, records: int, size_bytes: int) -> bool:
        """Whether `records` of `size_bytes` together fit.

        A record larger than all credit goes alone; no credit lets nothing go.
        """
        if self._credit == 0 or self._records + records > MAX_RECORDS:
            return False
        alone = self._records == 0 and records == 1
        return alone or self._bytes + size_bytes <= self._credit

    def sent(self, record: Record, lane: Lane, now_s: float) -> None:
        """Note that `record` is about to be handed to the transport at monotonic `now_s`.

        In each lane of a stream the positions ascend.
        """
        position, size = record.position, len(record.payload)
        self.tell(position, position.seq)
        samples = record.samples if record.kind is RecordKind.BATCH else 0
        self.handed()
        flight = Flight(position, size, samples, now_s, self.acked_bytes, self._handed)
        self._flying[position.stream][lane].append(flight)
        self._bytes += size
        self._records += 1
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s

    def handed(self) -> None:
        """Count a record that is handed to the transport; `sent` does so for its own."""
        self._handed += 1

    def tell(self, first: Position, last_seq: int) -> None:
        """Note that the destination is told of `first` up to `last_seq`, with or without data."""
        line = self._lines.setdefault(first[:2], _Line(0, 0, Coverage(), Coverage()))
        line.known.add(first.seq, last_seq)
        self._newest[first.stream] = max(first.epoch, self._newest.get(first.stream, 0))

    def receive(self, receipt: Receipt, now_s: float) -> Freed:
        """Apply a receipt that came at monotonic `now_s`.

        A duplicate frees nothing, nor does a stale one: it repeats what was committed when the
        session began or earlier. What it covers and was never sent is not believed: in an epoch
        that is not written any more the destination may know more than this disk. Raises
        UplinkMisbehaved if it goes beyond all that was sent of the newest epoch, goes back behind
        an earlier receipt of this session, or rejects a record that was not sent.
        """
        resume = receipt.resume
        told = Position(resume.stream, resume.epoch, resume.committed_seq)
        line = self._lines.get(told[:2], _NOTHING)
        refused = self._refused(receipt.rejected)
        top = max([told.seq, *(last for _, last in resume.islands)])
        written = told.epoch >= self._newest.get(told.stream, 0) and told[:2] not in self._closed
        if top > line.known.top and written:
            raise _misbehaved(
                f"acknowledged {_name(told._replace(seq=top))}, but only {line.known.top} was sent"
            )
        if told.seq < line.told and line.told > line.began:
            raise _misbehaved(f"went back to {_name(told)} after {line.told}")
        self._credit = self._bounded(receipt.credit_bytes)
        if receipt.answered is not None:
            self._answered = max(self._answered or 0, receipt.answered)
        line.told = max(line.told, told.seq)
        for first, last in ((1, told.seq), *resume.islands):
            line.acked.add_within(first, last, line.known)
        return self._free(told.stream, refused, now_s)

    def reached(self, stream: Stream, passed: Position, lane: Lane | None = None) -> Position:
        """Give up to where a stream is acknowledged without a hole, or one of its lanes.

        `passed` is how far it was sent in order, or needed not to be.
        """
        lanes = Lane if lane is None else (lane,)
        firsts = [flying[0].position for of in lanes if (flying := self._flying[stream][of])]
        oldest = min(firsts, default=None)
        if oldest is None or oldest > passed:
            return passed
        return oldest._replace(seq=oldest.seq - 1)

    def oldest(self) -> list[Position]:
        """Give the oldest record in flight of each lane of each stream."""
        lanes = (flying for of in self._flying.values() for flying in of.values())
        return sorted(flying[0].position for flying in lanes if flying)

    def _refused(
        self, rejected: Sequence[tuple[Position, str]]
    ) -> tuple[tuple[Position, str, int], ...]:
        codes = dict(rejected)
        for position in codes:
            if position.seq > self._lines.get(position[:2], _NOTHING).known.top:
                raise _misbehaved(f"rejected {_name(position)}, which was never sent")
        streams = {position.stream for position in codes}
        lanes = (flying for stream in streams for flying in self._flying[stream].values())
        return tuple(
            (flight.position, codes[flight.position], flight.samples)
            for flying in lanes
            for flight in flying
            if flight.position in codes
        )

    def _free(
        self, stream: Stream, refused: tuple[tuple[Position, str, int], ...], now_s: float
    ) -> Freed:
        """Let go what is acknowledged, in each lane in the order in which it was sent."""
        records = size = 0
        last: Flight | None = None
        for flying in self._flying[stream].values():
            while flying and self._is_acked(flying[0]):
                flight = flying.popleft()
                last = flight if last is None or flight.sent_s > last.sent_s else last
                size += flight.size
                records += 1
        self._bytes -= size
        self._records -= records
        self.acked_bytes += size
        if records:
            self._waiting_since_s = now_s if self._records else None
        return Freed(records, size, refused, last)

    def _is_acked(self, flight: Flight) -> bool:
        """Whether the destination has it, and has said so knowing this very record.

        What it has had for long it covers before the record reaches it: it may be another one.
        """
        if self._answered is not None and flight.number > self._answered:
            return False
        return self._lines[flight.position[:2]].acked.covers(flight.position.seq)

    @staticmethod
    def _bounded(credit_bytes: int) -> int:
        return max(0, min(credit_bytes, MAX_CREDIT_BYTES))


def _name(position: Position) -> str:
    return f"{position.stream} {position.epoch:x}/{position.seq}"


def _misbehaved(what: str) -> UplinkMisbehaved:
    return UplinkMisbehaved(
        f"the destination {what}",
        hint="the session starts anew by itself; if it happens again, report it with the "
        "server's version and log",
    )
