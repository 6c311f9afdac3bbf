"""What is decided of records without a store, and what an ack tells once the stream has them. Pure.

Must not know how they are published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.envelope import Refused, identity, judge
from forebay_fleet.ingest import SessionEnded, check_position
from forebay_fleet.ledger import MAX_ISLANDS, MAX_REPORTED_ISLANDS, Coverage, Island

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENVELOPE_BYTES = 256
"""What a record is beside its payload, at most, if nothing in it is odd."""
PARCEL_BYTES = 512 << 10
"""Records of one message are put together up to this; a larger one goes alone."""
Lines: TypeAlias = dict[tuple[int, int], Coverage]
"""What is covered of each (stream, epoch)."""


@dataclass(slots=True)
class Touched:
    """What a message does to a line: runs to cover, seqs in it, what is refused."""

    runs: list[tuple[int, int]] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    rejected: list[uplink_pb2.Rejection] = field(default_factory=list)


class Verdicts(NamedTuple):
    """What was judged: records to publish, all that an ack tells of, and what ends the session."""

    publish: list[uplink_pb2.Record]
    lines: dict[tuple[int, int], Touched]
    ended: SessionEnded | None = None


def judged(
    records: Sequence[uplink_pb2.Record], lines: Mapping[tuple[int, int], Coverage], most: int
) -> Verdicts:
    """Say what becomes of records of at most `most` bytes, as far as that needs no state.

    What is refused for good is published too, for its position is accounted for by a worker.
    """
    verdicts = Verdicts([], {})
    try:
        for record in records:
            check_position(record)
            key = (int(record.stream), record.epoch)
            _check_holes(lines.get(key), record.seq)
            _judge(record, most, verdicts.lines.setdefault(key, Touched()), verdicts)
    except SessionEnded as ended:
        return verdicts._replace(ended=ended)
    return verdicts


def acks(verdicts: Verdicts, lines: Lines, credit_bytes: int) -> list[uplink_pb2.Ack]:
    """Cover in `lines` what the stream has now; give what the box is told."""
    found = []
    for (stream, epoch), at in verdicts.lines.items():
        line = lines.setdefault((stream, epoch), Coverage())
        for run in at.runs:
            line.add(*run)
        if not at.seqs:
            continue  # only named by a Gap: nothing of this line was sent
        ack = uplink_pb2.Ack(rejected=at.rejected, credit_bytes=credit_bytes)
        ack.committed.stream = cast("uplink_pb2.Stream", stream)
        ack.committed.epoch = epoch
        ack.committed.committed_seq = line.committed
        for first, last in line.reported(at.seqs):
            ack.committed.islands.add(first_seq=first, last_seq=last)
        found.append(ack)
    return found


def covered(line: uplink_pb2.Committed) -> Coverage:
    """Give what a worker says it has of a line."""
    islands = (Island(one.first_seq, one.last_seq) for one in line.islands)
    return Coverage(line.committed_seq, islands)


def for_box(welcome: uplink_pb2.Welcome) -> uplink_pb2.Welcome:
    """Give a worker's Welcome, which has all islands, with as many as a box is told."""
    told = uplink_pb2.Welcome()
    told.CopyFrom(welcome)
    for line in told.committed:
        line.chain = b""
        if len(line.islands) > MAX_REPORTED_ISLANDS:
            kept = covered(line).reported()
            del line.islands[:]
            for first, last in kept:
                line.islands.add(first_seq=first, last_seq=last)
    return told


def grouped(records: Sequence[uplink_pb2.Record]) -> Iterator[list[uplink_pb2.Record]]:
    """Give records in groups of at most PARCEL_BYTES, or one record."""
    group: list[uplink_pb2.Record] = []
    size = 0
    for record in records:
        more = len(record.payload) + ENVELOPE_BYTES
        if group and size + more > PARCEL_BYTES:
            yield group
            group, size = [], 0
        group.append(record)
        size += more
    if group:
        yield group


def _check_holes(line: Coverage | None, seq: int) -> None:
    if line is not None and len(line.islands) >= MAX_ISLANDS and not line.covers(seq):
        raise SessionEnded("RESOURCE_EXHAUSTED", "too many holes: send records in order")


def _judge(record: uplink_pb2.Record, most: int, at: Touched, verdicts: Verdicts) -> None:
    at.seqs.append(record.seq)
    if _is_odd(record):
        record.DiscardUnknownFields()
    try:
        content = judge(record, most, lambda _: None)
    except Refused as refused:
        at.rejected.append(
            uplink_pb2.Rejection(seq=record.seq, code=refused.code, permanent=refused.permanent)
        )
        if not refused.permanent:
            return
        if len(record.payload) > most or _is_odd(record):
            # No message takes it, and its part would wait: its position and its name are enough.
            record.hash, record.payload = identity(record), b""
    else:
        if content.gap is not None and content.gap.seq_to:
            key = (int(record.stream), content.gap.epoch)
            run = (content.gap.seq_from, content.gap.seq_to)
            verdicts.lines.setdefault(key, Touched()).runs.append(run)
    first = record.absent_from if 0 < record.absent_from < record.seq else record.seq
    at.runs.append((first, record.seq))
    verdicts.publish.append(record)


def _is_odd(record: uplink_pb2.Record) -> bool:
    return record.ByteSize() > len(record.payload) + ENVELOPE_BYTES
