"""What goes into the journal and what bounds it.

Owns the words that callers and the writer share. Must not know files or threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from forebay.columnar import decode_gap, encode_gap
from forebay.journal.record import MAX_PAYLOAD_BYTES
from forebay.model import Gap, GapCause, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forebay.journal.quarantine import Quarantined
    from forebay.model import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """One record to be. `payload` is journaled as it is.

    `samples` counts those of a BATCH; a GAP's are taken from its payload. `time_min_ns` and
    `time_max_ns` span its source times, ns since 1970 UTC. `schema` is the id and the encoded
    Schema that a BATCH needs: the writer puts it before the first batch of each segment.
    """

    stream: Stream
    kind: RecordKind
    payload: bytes
    samples: int
    time_min_ns: int
    time_max_ns: int
    schema: tuple[int, bytes] | None = None

    def check(self) -> None:
        """Raise ValueError if this can be no record."""
        largest = max(len(self.payload), len(self.schema[1]) if self.schema else 0)
        if largest > MAX_PAYLOAD_BYTES:
            msg = f"a payload of {largest} bytes is over the limit of {MAX_PAYLOAD_BYTES}"
            raise ValueError(msg)
        if self.kind is RecordKind.GAP:
            decode_gap(self.payload)


class Overflow(StrEnum):
    """What a stream does when its part of the disk is full of what is not delivered.

    `THIN`: old data keeps few samples a bucket, and in the end the oldest goes. `DROP_OLDEST`: the
    oldest goes. `DROP_NEWEST`: what comes is refused, and its producer accounts for it. `BLOCK`:
    what comes is refused and its producer waits.
    """

    THIN = "thin"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    BLOCK = "block"


DEFAULT_OVERFLOW: Mapping[Stream, Overflow] = MappingProxyType(
    {
        Stream.AUDIT: Overflow.DROP_OLDEST,
        Stream.EVENTS: Overflow.DROP_OLDEST,
        Stream.TELEMETRY: Overflow.THIN,
        Stream.BULK: Overflow.DROP_OLDEST,
    }
)


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How much the journal may hold.

    `max_bytes` of disk for all streams (`retention.quotas` shares it out), no segment sealed longer
    than `max_age_s` ago, `segment_bytes` a file, `ring_bytes` of payload waiting for the writer.
    `overflow` has each stream.
    """

    max_bytes: int
    max_age_s: float
    segment_bytes: int
    ring_bytes: int
    overflow: Mapping[Stream, Overflow] = field(default_factory=lambda: DEFAULT_OVERFLOW)


@dataclass(frozen=True, slots=True)
class Damage:
    """Records that had a position and cannot be read.

    `samples` are those that were in them, None where nobody knows, and `thinned` those that
    thinning had taken from them before.
    """

    stream: Stream
    epoch: int
    seq_from: int
    seq_to: int
    samples: int | None
    time_min_ns: int
    time_max_ns: int
    thinned: int = 0

    def gap(self, cause: GapCause) -> Gap:
        """Give the gap that accounts for it."""
        return Gap(
            cause=cause,
            time_from_ns=self.time_min_ns,
            time_to_ns=self.time_max_ns,
            samples=None if self.samples is None else self.samples + self.thinned,
            epoch=self.epoch,
            seq_from=self.seq_from,
            seq_to=self.seq_to,
        )


def gap_entry(stream: Stream, gap: Gap) -> Entry:
    """Give the entry of a gap record."""
    return Entry(
        stream=stream,
        kind=RecordKind.GAP,
        payload=encode_gap(gap),
        samples=0,
        time_min_ns=gap.time_from_ns,
        time_max_ns=gap.time_to_ns,
    )


def gaps_of(entries: Iterable[Entry]) -> dict[Stream, tuple[Gap, ...]]:
    """Give the gaps that the entries of gaps say, by stream."""
    found: dict[Stream, tuple[Gap, ...]] = {}
    for entry in entries:
        found[entry.stream] = (*found.get(entry.stream, ()), decode_gap(entry.payload))
    return found


def aside_gap(one: Record | Quarantined) -> Gap:
    """Give the gap that accounts for a record which a destination does not get.

    With what thinning took from it before: a destination without the record has not heard of that.
    """
    return Gap(
        cause=GapCause.QUARANTINED,
        time_from_ns=one.time_min_ns,
        time_to_ns=one.time_max_ns,
        samples=one.samples + one.thinned if one.kind is RecordKind.BATCH else 0,
        epoch=one.position.epoch,
        seq_from=one.position.seq,
        seq_to=one.position.seq,
    )
