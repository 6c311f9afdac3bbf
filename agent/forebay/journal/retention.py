"""Which segments must go, and why: shares of the disk, and age.

Owns the rule. Pure. Must not know files, cursors or gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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

_SEGMENTS_PER_POOL_LEAST = 8
_SEGMENT_BYTES_LEAST = 4096


@dataclass(frozen=True, slots=True)
class Held:
    """One segment as retention sees it. `number` is its place in its stream, oldest first.

    `sealed_ns` is the wall time of sealing, 0 while it is written; `synced` says whether the clock
    that told it was disciplined. `file_bytes` is what it takes on disk.
    """

    stream: Stream
    number: int
    file_bytes: int
    sealed_ns: int
    synced: bool = True


@dataclass(frozen=True, slots=True)
class Drop:
    """A segment that must go."""

    held: Held
    cause: GapCause


def quotas(max_bytes: int) -> dict[Stream, int]:
    """Give what each stream may take, together with those that share its pool, in bytes."""
    return {stream: int(max_bytes * share) for pool, share in POOLS for stream in pool}


def segment_bytes(limits: JournalLimits, stream: Stream) -> int:
    """Give the size of a stream's segments: small enough that its quota holds several."""
    share = quotas(limits.max_bytes)[stream] // _SEGMENTS_PER_POOL_LEAST
    return max(_SEGMENT_BYTES_LEAST, min(limits.segment_bytes, share)) & ~7


def plan(
    held: Mapping[Stream, Sequence[Held]], limits: JournalLimits, now_ns: int | None
) -> tuple[Drop, ...]:
    """Give what must go so that each pool has room for one more segment of each of its streams.

    No stream keeps more than SEGMENTS_MOST either. Oldest first. The newest segment of a stream and
    what is not sealed always stay. Age counts from the wall time of sealing, not from source times:
    a device with a wrong clock must not make its own readings look old. `now_ns` is what `AgeClock`
    believes, None while it believes nothing.
    """
    drops: list[Drop] = []
    oldest_ns = 0 if now_ns is None else now_ns - round(limits.max_age_s * 1e9)
    for pool, share in POOLS:
        streams = [held[stream] for stream in Stream if stream in pool and held.get(stream)]
        used = sum(h.file_bytes for segments in streams for h in segments)
        room = int(limits.max_bytes * share) - sum(
            segment_bytes(limits, segments[0].stream) for segments in streams
        )
        aged_ns = {h: at_ns for segments in streams for h, at_ns in _known(segments)}
        for candidate in _oldest_first(streams):
            aged = aged_ns.get(candidate, oldest_ns) < oldest_ns
            many = candidate.number < len(held[candidate.stream]) - SEGMENTS_MOST
            if not aged and not many and used <= room:
                continue  # nor is anything younger of its stream aged
            drops.append(
                Drop(candidate, GapCause.RETENTION_AGE if aged else GapCause.RETENTION_BYTES)
            )
            used -= candidate.file_bytes
    return tuple(drops)


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

    A gap of unknown size stays alone, so that what is known stays known.
    """
    joined: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: (g.epoch, g.seq_from)):
        last = joined[-1] if joined else None
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
    return tuple(joined)
