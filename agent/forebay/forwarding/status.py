"""What an uplink's forwarder tells of itself, and the arithmetic of what is still to do.

Owns `UplinkStatus`, the running counts behind it and the estimate of the backlog. Must not know
sessions or sockets.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from forebay.forwarding.lag import Lag
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forebay.forwarding.coverage import Coverage
    from forebay.forwarding.journal_view import SegmentView
    from forebay.model import Position

State = Literal["connecting", "connected", "waiting"]


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """One uplink at one moment; the fields of `UplinkStatus` in control.proto.

    Counts run since the agent's start and include records sent again. `pending_*` is durable and
    not acknowledged; its bytes are estimated within the segment that is partly delivered.
    `oldest_pending_s` is its age, by the monotonic clock for records of this run and by their times
    for those of earlier ones. `last_ack_s` is seconds since the last ack that brought progress,
    negative: never. Of the pending records the live lane sends
    `live_records`, the backfill lane `backfill_records`; `held` says why nothing or only part is
    sent although the link is up, and `stuck` the part of it that no limit of ours is.
    `sent_today_bytes` counts payload since midnight local time. `quarantined_records` are those of
    this uplink that were set aside. Of `unheard_messages` the destination has said that nobody
    listens.
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
    stuck: str = ""
    sent_today_bytes: int = 0
    quarantined_records: int = 0
    unheard_messages: int = 0


@dataclass(slots=True)
class Tally:
    """What one forwarder has done, across sessions.

    `acked` is how far each stream is delivered, `islands` what the destination has beyond that;
    `changed` is set when `acked` moves. A stream with a backfill lane has its live lane behind
    `live_from`.
    """

    acked: dict[Stream, Position]
    records_sent: int = 0
    records_acked: int = 0
    bytes_sent: int = 0
    unheard_messages: int = 0
    sessions: int = 0
    last_ack_at_s: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    islands: dict[tuple[Stream, int], Coverage] = field(default_factory=dict)
    live: dict[Stream, Position] = field(default_factory=dict)
    live_from: dict[Stream, Position | None] = field(default_factory=dict)
    lag: dict[Stream, Lag] = field(default_factory=lambda: {stream: Lag() for stream in Stream})
    live_lag: dict[Stream, Lag] = field(
        default_factory=lambda: {stream: Lag() for stream in Stream}
    )

    def note(self, stream: Stream, end: Position, now_s: float) -> None:
        """Note how far the log is, at monotonic `now_s`: lags are reckoned by it."""
        self.lag[stream].note(self.acked[stream], end, now_s)
        self.live_lag[stream].note(self.live.get(stream, self.acked[stream]), end, now_s)


class Backlog(NamedTuple):
    """What is durable and not acknowledged. `oldest_ns` is None where there is nothing."""

    records: int
    size_bytes: int
    oldest_ns: int | None


def backlog(
    segments: Iterable[SegmentView],
    acked: Mapping[Stream, Position],
    islands: Mapping[tuple[Stream, int], Coverage] | None = None,
) -> Backlog:
    """Add up what lies behind `acked` and in none of the `islands`.

    Records are exact; bytes and time are interpolated by seq within the segments of a stream that
    are delivered in part.
    """
    records = size = 0
    oldest: int | None = None
    for segment in segments:
        total = segment.last_seq - segment.first_seq + 1
        reached = acked[segment.stream]
        if total <= 0 or segment.epoch < reached.epoch:
            continue
        done = reached.seq - segment.first_seq + 1 if segment.epoch == reached.epoch else 0
        done = max(done, 0)
        left = total - done
        runs = (islands or {}).get((segment.stream, segment.epoch))
        if runs is not None:
            left -= runs.count(segment.first_seq + done, segment.last_seq)
        if left <= 0:
            continue
        records += left
        size += segment.bytes * left // total
        if segment.time_min_ns:
            span = segment.time_max_ns - segment.time_min_ns
            at = segment.time_min_ns + span * done // total
            oldest = at if oldest is None else min(oldest, at)
    return Backlog(records, size, oldest)
