"""What is in flight: sent, acknowledged, and how much more the destination lets us send.

Owns the check of every receipt against what was sent. Pure: times come in as arguments. Must not
know sockets or the journal.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from forebay.errors import UplinkMisbehaved
from forebay.model import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.interfaces import Receipt
    from forebay.model import Record, Stream

MAX_CREDIT_BYTES = 64 << 20
"""Credit above this is not used: the transport holds what is in flight in memory."""
MAX_RECORDS = 16_384
"""Records in flight, whatever their size."""


class Freed(NamedTuple):
    """What a receipt brought: records and payload bytes newly acknowledged.

    `refused` are those of the rejected positions that were in flight, with their samples.
    """

    records: int
    size_bytes: int
    refused: tuple[tuple[Position, int], ...] = ()


@dataclass(slots=True)
class _Run:
    """One stream's epoch within a session: where it began, what is acknowledged, the last seq sent.

    `in_flight` holds (seq, payload bytes, samples) in order.
    """

    began: int
    committed: int
    sent: int
    in_flight: deque[tuple[int, int, int]] = field(default_factory=deque)


_NOTHING_SENT: Final = _Run(0, 0, 0)


class Window:
    """The account of one session. Starts from what the destination said it had."""

    def __init__(self, committed: Mapping[tuple[Stream, int], int], credit_bytes: int) -> None:
        self._runs = {key: _Run(seq, seq, seq) for key, seq in committed.items()}
        self._bytes = 0
        self._records = 0
        self._waiting_since_s: float | None = None
        self._credit = self._bounded(credit_bytes)

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

    def may_send(self, records: int, size_bytes: int) -> bool:
        """Whether `records` of `size_bytes` together fit.

        A record larger than all credit goes alone; no credit lets nothing go.
        """
        if self._credit == 0 or self._records + records > MAX_RECORDS:
            return False
        alone = self._records == 0 and records == 1
        return alone or self._bytes + size_bytes <= self._credit

    def sent(self, record: Record, now_s: float) -> None:
        """Note that `record` is about to be handed to the transport at monotonic `now_s`."""
        position, size = record.position, len(record.payload)
        key = (position.stream, position.epoch)
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(0, 0, 0)
        run.sent = position.seq
        run.in_flight.append((position.seq, size, record.samples))
        self._bytes += size
        self._records += 1
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s

    def receive(self, receipt: Receipt, now_s: float) -> Freed:
        """Apply a receipt that came at monotonic `now_s`.

        A duplicate frees nothing, nor does a stale one: it repeats what was committed when the
        session began or earlier. Raises UplinkMisbehaved if it covers what was never sent, goes
        back behind an earlier receipt of this session, or rejects a record that was not sent.
        """
        resume = receipt.resume
        told = Position(resume.stream, resume.epoch, resume.committed_seq)
        run = self._runs.get(told[:2], _NOTHING_SENT)
        refused = self._refused([position for position, _ in receipt.rejected])
        if told.seq > run.sent:
            raise _misbehaved(f"acknowledged {_name(told)}, but only {run.sent} was sent")
        if told.seq < run.committed and run.committed > run.began:
            raise _misbehaved(f"went back to {_name(told)} after {run.committed}")
        self._credit = self._bounded(receipt.credit_bytes)
        if told.seq <= run.committed:
            return Freed(0, 0, refused)
        run.committed = told.seq
        return Freed(*self._free(run, now_s), refused)

    def acked(self, stream: Stream, before: Position) -> Position:
        """Give how far `stream` is acknowledged without a hole, across epochs.

        `before` was so when the session began.
        """
        reached = before
        for (of, epoch), run in sorted(self._runs.items(), key=lambda item: item[0][1]):
            if of != stream or run.sent == run.began:
                continue
            if run.committed > run.began:
                reached = Position(stream, epoch, run.committed)
            if run.in_flight:
                break
        return reached

    def _refused(self, positions: Sequence[Position]) -> tuple[tuple[Position, int], ...]:
        found: list[tuple[Position, int]] = []
        for position in positions:
            run = self._runs.get(position[:2], _NOTHING_SENT)
            if position.seq > run.sent:
                raise _misbehaved(f"rejected {_name(position)}, which was never sent")
            found += [
                (position, samples) for seq, _, samples in run.in_flight if seq == position.seq
            ]
        return tuple(found)

    def _free(self, run: _Run, now_s: float) -> tuple[int, int]:
        records = size = 0
        while run.in_flight and run.in_flight[0][0] <= run.committed:
            size += run.in_flight.popleft()[1]
            records += 1
        self._bytes -= size
        self._records -= records
        self._waiting_since_s = now_s if self._records else None
        return records, size

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
