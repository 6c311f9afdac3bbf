"""What a journal says of itself in figures, for people and for whoever watches it.

Owns the shapes. Must not know where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.model import Stream


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment file, as people and the forwarder see it.

    `bytes` are those of its records, `samples` those of its batches, whose source times the two
    times span (0 if there is none).
    """

    stream: Stream
    file: str
    epoch: int
    first_seq: int
    last_seq: int
    bytes: int
    samples: int
    sealed: bool
    time_min_ns: int
    time_max_ns: int


@dataclass(frozen=True, slots=True)
class JournalStats:
    """Figures of this run. Latencies are those of the latest commits, from first write to flush.

    `budget_bytes` is what the journal can count on: its limit, or what its disk has for it if that
    is less. `stream_bytes` is what each stream takes on disk, `max_bytes` its part of the budget;
    telemetry and bulk share theirs. `trouble` says why nothing can be written now, empty if
    all is well. `thinned_samples` were taken out of what is on disk; `dropped_samples` went with
    their segments before every consumer had them. `last_commit_s` is when the latest commit was
    durable (monotonic), None for never.
    """

    commits: int
    commit_p50_ms: float
    commit_p99_ms: float
    queued_bytes: int
    ring_max_bytes: int
    budget_bytes: int
    stream_bytes: Mapping[Stream, int]
    max_bytes: Mapping[Stream, int]
    trouble: str = ""
    thinned_samples: int = 0
    dropped_samples: int = 0
    last_commit_s: float | None = None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Give the value below which `share` of `ordered` lie, 0 if there is none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
