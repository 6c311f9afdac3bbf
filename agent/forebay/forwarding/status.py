"""What an uplink's forwarder tells of itself, and the arithmetic of what is still to do.

Owns `UplinkStatus`, the running counts behind it and the estimate of the backlog. Must not know
sessions or sockets.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forebay.forwarding.journal_view import SegmentView
    from forebay.model import Position, Stream

State = Literal["connecting", "connected", "waiting"]


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """One uplink at one moment; the fields of `UplinkStatus` in control.proto.

    Counts run since the agent's start and include records sent again. `pending_*` is durable and
    not acknowledged; its bytes and `oldest_pending_s` (age by wall clock; 0: nothing pending) are
    estimated within the segment that is partly delivered. `last_ack_s` is seconds since the last
    ack that brought progress, negative: never. Of the pending records the live lane sends
    `live_records`, the backfill lane `backfill_records`; `held` says why nothing or only part is
    sent although the link is up. `sent_today_bytes` counts payload since midnight local time.
    """

    name: str
    kind: str
    state: State
    records_sent: int
    records_acked: int
    bytes_sent: int
    pending_records: int
    pending_bytes: int
    unacked_bytes: int
    credit_bytes: int
    oldest_pending_s: float
    last_ack_s: float
    sessions: int
    last_error: str
    last_hint: str
    live_records: int = 0
    backfill_records: int = 0
    held: str = ""
    sent_today_bytes: int = 0


@dataclass(slots=True)
class Tally:
    """What one forwarder has done, across sessions.

    `acked` is how far each stream is delivered; `changed` is set when it moves.
    """

    acked: dict[Stream, Position]
    records_sent: int = 0
    records_acked: int = 0
    bytes_sent: int = 0
    sessions: int = 0
    last_ack_at_s: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Backlog(NamedTuple):
    """What is durable and not acknowledged. `oldest_ns` is None where there is nothing."""

    records: int
    size_bytes: int
    oldest_ns: int | None


def backlog(segments: Iterable[SegmentView], acked: Mapping[Stream, Position]) -> Backlog:
    """Add up what lies behind `acked`.

    Records are exact; bytes and time are interpolated by seq within the one segment of a stream
    that `acked` cuts.
    """
    records = size = 0
    oldest: int | None = None
    for segment in segments:
        total = segment.last_seq - segment.first_seq + 1
        reached = acked[segment.stream]
        if total <= 0 or segment.epoch < reached.epoch:
            continue
        done = reached.seq - segment.first_seq + 1 if segment.epoch == reached.epoch else 0
        left = total - max(done, 0)
        if left <= 0:
            continue
        records += left
        size += segment.bytes * left // total
        if segment.time_min_ns:
            span = segment.time_max_ns - segment.time_min_ns
            at = segment.time_min_ns + span * (total - left) // total
            oldest = at if oldest is None else min(oldest, at)
    return Backlog(records, size, oldest)
