"""Which segments must go or get thinner, and why: shares of the disk, and age.

Owns the rule. Pure. Must not know files, cursors or gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from forebay.journal.entry import Overflow
from forebay.journal.thinning import LEVELS_S
from forebay.model import GapCause, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.journal.entry import JournalLimits
    from forebay.model import Gap

POOLS: tuple[tuple[frozenset[Stream], float], ...] = (
    (frozenset({Stream.AUDIT}), 0.05),
    (frozenset({Stream.EVENTS}), 0.15),
    (frozenset({Stream.TELEMETRY, Stream.BULK}), 0.75),
)
"""Streams that share a part of the disk, so that readings never push out what was done to the
plant."""

QUARANTINE_SHARE = 0.05
"""The part of `max_size` that copies in quarantine may take, beside the pools."""

SEGMENTS_MOST = 8_192
"""Segments of one stream: each start of the agent begins one, and a start looks at all of them."""

FILE_SYSTEM_SHARE = 0.6
"""The part of its file system that the journal may take if nobody says how much."""

THIN_FROM = 0.9
"""How full a pool is when thinning begins."""
NEWEST_SHARE = 0.1
"""The part of a pool, its newest, that is never thinned."""
_NEWEST_LEAST = 2
_KEEPING = frozenset({Overflow.DROP_NEWEST, Overflow.BLOCK})
_SEGMENTS_PER_POOL_LEAST = 8
_SEGMENT_BYTES_LEAST = 4096


@dataclass(frozen=True, slots=True)
class Held:
    """One segment as retention sees it. `number` is its place in its stream, oldest first.

    `sealed_ns` is the wall time of sealing, 0 while it is written; `synced` says whether the clock
    that told it was disciplined. `file_bytes` is what it takes on disk. `level_s` is the bucket to
    which it was thinned, or was tried to be in vain. `passed`: all consumers have passed it.
    `delivered`: at least one has. `begun`: one has been given a part that it has not passed.
    """

    stream: Stream
    number: int
    file_bytes: int
    sealed_ns: int
    synced: bool = True
    level_s: int = 0
    passed: bool = False
    delivered: bool = False
    begun: bool = False

    @property
    def owed(self) -> bool:
        """Whether no consumer has all of it."""
        return not (self.passed or self.delivered)


@dataclass(frozen=True, slots=True)
class Drop:
    """A segment that must go."""

    held: Held
    cause: GapCause


def quotas(max_bytes: int) -> dict[Stream, int]:
    """Give what each stream may take, together with those that share its pool, in bytes."""
    return {stream: int(max_bytes * share) for pool, share in POOLS for stream in pool}


def budget_bytes(max_bytes: int, held_bytes: int, free_bytes: int, ballast_bytes: int) -> int:
    """Give what the journal can count on: `max_bytes`, but never more than its disk has for it.

    `held_bytes` are its own already, `free_bytes` anybody's; of both, `ballast_bytes` stay unused.
    """
    return max(0, min(max_bytes, held_bytes + free_bytes - ballast_bytes))


def segment_bytes(limits: JournalLimits, stream: Stream) -> int:
    """Give the size of a stream's segments: small enough that its quota holds several."""
    share = quotas(limits.max_bytes)[stream] // _SEGMENTS_PER_POOL_LEAST
    return max(_SEGMENT_BYTES_LEAST, min(limits.segment_bytes, share)) & ~7


def plan(
    held: Mapping[Stream, Sequence[Held]],
    limits: JournalLimits,
    now_ns: int | None,
    fitting: JournalLimits | None = None,
) -> tuple[Drop, ...]:
    """Give what must go so that each pool has room for one more segment of each of its streams.

    No stream keeps more than SEGMENTS_MOST either. Oldest first. The newest segment of a stream and
    what is not sealed always stay. Age counts from the wall time of sealing, not from source times:
    a device with a wrong clock must not make its own readings look old. `now_ns` is what `AgeClock`
    believes, None while it believes nothing.

    Where a stream is thinned, what all consumers have passed goes before anything is thinned. What
    a stream has delivered to nobody that drops its newest, or blocks, goes by age only.

    `fitting` are the limits that the disk leaves room for, if that is less. By these goes what all
    consumers have passed, and only that: others fill and empty a disk, and what somebody has not
    got may have room after all (`relief` is for the disk that really is full).
    """
    fitting = fitting or limits
    drops: list[Drop] = []
    oldest_ns = 0 if now_ns is None else now_ns - round(limits.max_age_s * 1e9)
    for pool, share in POOLS:
        streams = [held[stream] for stream in Stream if stream in pool and held.get(stream)]
        used = sum(h.file_bytes for segments in streams for h in segments)
        room = _room(streams, limits, share)
        early = _room(streams, fitting, share)
        if _thins(streams, limits):
            early = _early(streams, fitting, early)
        aged_ns = {h: at_ns for segments in streams for h, at_ns in _known(segments)}
        for candidate in _oldest_first(streams):
            aged = aged_ns.get(candidate, oldest_ns) < oldest_ns
            many = candidate.number < len(held[candidate.stream]) - SEGMENTS_MOST
            over = used > (early if candidate.passed else room)
            kept = limits.overflow[candidate.stream] in _KEEPING and candidate.owed
            if not aged and not many and (kept or not over):
                continue  # nor does anything younger of its stream go
            drops.append(
                Drop(candidate, GapCause.RETENTION_AGE if aged else GapCause.RETENTION_BYTES)
            )
            used -= candidate.file_bytes
    return tuple(drops)


def thinnable(
    held: Mapping[Stream, Sequence[Held]], limits: JournalLimits
) -> tuple[Held, int] | None:
    """Give the segment to thin next, and the bucket in seconds; None while there is room.

    That is once a pool is filled to nine tenths, or up to its last segment. The fullest resolution
    goes first, and of that the oldest: so it sinks evenly, and the newest tenth of a pool keeps all
    of it. What all consumers have passed is not worth it, and what one of them has begun must not
    change.
    """
    for pool, share in POOLS:
        streams = [held[stream] for stream in Stream if stream in pool and held.get(stream)]
        used = sum(h.file_bytes for segments in streams for h in segments)
        if used <= _early(streams, limits, _room(streams, limits, share)):
            continue
        newest = {h for segments in streams for h in _newest(segments, limits, share)}
        due = [
            candidate
            for candidate in _oldest_first(streams)
            if limits.overflow[candidate.stream] is Overflow.THIN
            and candidate.level_s < LEVELS_S[-1]
            and not (candidate.passed or candidate.begun or candidate in newest)
        ]
        if due:
            candidate = min(due, key=lambda h: h.level_s)  # the first of them is the oldest
            return candidate, next(level for level in LEVELS_S if level > candidate.level_s)
    return None


def full(held: Mapping[Stream, Sequence[Held]], limits: JournalLimits) -> frozenset[Stream]:
    """Give the streams that take no more, because they keep what they have until it is delivered.

    That is, to one consumer: a destination that is away for good stops nothing that another one
    takes, and is told by a gap what goes. Such a stream gets the whole of its pool, or half of one
    that it shares.
    """
    found = set()
    for pool, share in POOLS:
        budget = int(limits.max_bytes * share) // len(pool)
        for stream in pool:
            if limits.overflow[stream] in _KEEPING:
                kept = sum(h.file_bytes for h in held.get(stream, ()) if h.owed)
                if kept + segment_bytes(limits, stream) > budget:
                    found.add(stream)
    return frozenset(found)


def _room(streams: Sequence[Sequence[Held]], limits: JournalLimits, share: float) -> int:
    """Give what a pool may hold so that one more segment of each of its streams fits."""
    return int(limits.max_bytes * share) - sum(
        segment_bytes(limits, segments[0].stream) for segments in streams
    )


def _early(streams: Sequence[Sequence[Held]], limits: JournalLimits, room: int) -> int:
    """Give from where on a pool is thinned: early enough that it helps before the next sealing."""
    step = max((segment_bytes(limits, of[0].stream) for of in streams), default=0)
    return min(round(room * THIN_FROM), room - step)


def _thins(streams: Sequence[Sequence[Held]], limits: JournalLimits) -> bool:
    return any(limits.overflow[of[0].stream] is Overflow.THIN for of in streams)


def _newest(segments: Sequence[Held], limits: JournalLimits, share: float) -> Sequence[Held]:
    """Give the newest tenth of a pool, at least the two newest segments of a stream."""
    kept, count = 0, 0
    for held in reversed(segments):
        kept += held.file_bytes
        if count >= _NEWEST_LEAST and kept > limits.max_bytes * share * NEWEST_SHARE:
            break
        count += 1
    return segments[len(segments) - count :]


def relief(held: Mapping[Stream, Sequence[Held]], need_bytes: int) -> tuple[Drop, ...]:
    """Give what must go so that a full disk gets `need_bytes` back, or all that may go.

    Readings first, then events, then the audit; in each pool the oldest first. The newest segment
    of a stream and what is not sealed always stay.
    """
    drops: list[Drop] = []
    for pool, _ in reversed(POOLS):
        streams = [held[stream] for stream in Stream if stream in pool and held.get(stream)]
        for candidate in _oldest_first(streams):
            if need_bytes <= 0:
                break
            drops.append(Drop(candidate, GapCause.RETENTION_BYTES))
            need_bytes -= candidate.file_bytes
    return tuple(drops)


def _known(segments: Sequence[Held]) -> list[tuple[Held, int]]:
    """Give each segment's latest possible time of sealing, as far as disciplined clocks tell.

    A segment that was sealed by any other clock was sealed before the next that was not.
    """
    found: list[tuple[Held, int]] = []
    latest_ns = 0
    waiting: list[Held] = []
    for held in segments[:-1]:
        if not held.sealed_ns:
            break
        waiting.append(held)
        if held.synced:
            latest_ns = max(latest_ns, held.sealed_ns)
            found += [(each, latest_ns) for each in waiting]
            waiting = []
    return found


def _oldest_first(streams: Sequence[Sequence[Held]]) -> list[Held]:
    """Order what may go by its time of sealing, never one segment before its elder.

    The wall clock may have stepped back: a segment counts as at least as young as the one before.
    """
    found = []
    for segments in streams:
        sealed_ns = 0
        for held in segments[:-1]:
            if not held.sealed_ns:
                break
            sealed_ns = max(sealed_ns, held.sealed_ns)
            found.append((sealed_ns, held))
    found.sort(key=lambda pair: (pair[0], pair[1].stream.number, pair[1].number))
    return [held for _, held in found]


def merged(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    """Join gaps of one cause whose positions touch, so that a long outage does not pile them up.

    One that lies within another of its cause is left out, one within another of another cause comes
    before it: whoever counts what is new to him would take it for told. Else they come as what they
    name did. A gap of unknown size stays alone, so that what is known stays known.
    """
    joined: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: (g.cause.value, g.epoch, g.seq_from, -g.seq_to)):
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.cause, last.epoch) == (gap.cause, gap.epoch)
            and gap.seq_to <= last.seq_to
        ):
            continue
        touching = (
            last is not None
            and (last.epoch, last.cause, last.seq_to + 1) == (gap.epoch, gap.cause, gap.seq_from)
            and last.samples is not None
            and gap.samples is not None
        )
        if last is None or not touching:
            joined.append(gap)
            continue
        joined[-1] = replace(
            last,
            seq_to=gap.seq_to,
            samples=(last.samples or 0) + (gap.samples or 0),
            time_from_ns=min(last.time_from_ns, gap.time_from_ns),
            time_to_ns=max(last.time_to_ns, gap.time_to_ns),
        )
    return tuple(sorted(joined, key=lambda gap: (gap.epoch, gap.seq_to, -gap.seq_from)))
