"""How long the disk lasts, which tags fill it, what thinning would give, how hard it is worn.

Owns the arithmetic. Pure: takes what was measured (`measure`) and gives numbers. Must not know
files, nor how the answer is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from forebay.journal.entry import Overflow
from forebay.journal.retention import NEWEST_SHARE, POOLS, THIN_FROM
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HOUR_S, DAY_S = 3_600.0, 86_400.0


class Span(NamedTuple):
    """One segment, as first written: what went into it, between two moments of wall time.

    `bytes` and `samples` are those of before any thinning; `undelivered`: not every destination has
    it all.
    """

    stream: Stream
    begin_ns: int
    end_ns: int
    bytes: int
    samples: int
    undelivered: bool = True


class Rate(NamedTuple):
    """What is journaled in a second, on the average of the last `over_s`."""

    bytes_s: float
    samples_s: float
    over_s: float


@dataclass(frozen=True, slots=True)
class PoolForecast:
    """One share of the disk.

    `undelivered_bytes` of its `room_bytes` are not delivered everywhere. If nothing were delivered
    from now on, thinning would begin in `thins_in_s` and dropping in `drops_in_s`: None for never,
    0 for already. `drops_by` says what comes first: the `size` of the pool or the `age` of what is
    in it; None for neither.
    """

    streams: tuple[Stream, ...]
    room_bytes: int
    used_bytes: int
    undelivered_bytes: int
    rate: Rate | None
    thins_in_s: float | None
    drops_in_s: float | None
    drops_by: str | None = None


class Thinning(NamedTuple):
    """What thinning to buckets of `level_s` left of a sample of batches; `span_s` is their time."""

    level_s: int
    bytes_before: int
    bytes_after: int
    samples_before: int
    samples_after: int
    span_s: float

    @property
    def ratio(self) -> float:
        """Which part of the bytes is left."""
        return self.bytes_after / self.bytes_before if self.bytes_before else 1.0


class TagCost(NamedTuple):
    """An estimate of what one tag takes: its share of all bytes of its stream, and bytes a day."""

    device: str
    tag: str
    share: float
    bytes_a_day: float


def rate(spans: Iterable[Span], now_ns: int, window_s: float) -> Rate | None:
    """Give the average of the last `window_s`, or of less if the journal is younger.

    A segment that reaches into the window counts by the part of its time that does. None if there
    is nothing in the window.
    """
    spans = list(spans)
    begin_ns = max(now_ns - round(window_s * 1e9), min((s.begin_ns for s in spans), default=now_ns))
    over_s = (now_ns - begin_ns) / 1e9
    parts = [(span, _part(span, begin_ns, now_ns)) for span in spans]
    total = sum(span.bytes * part for span, part in parts)
    if over_s <= 0 or not total:
        return None
    samples = sum(span.samples * part for span, part in parts)
    return Rate(total / over_s, samples / over_s, over_s)


def _part(span: Span, begin_ns: int, end_ns: int) -> float:
    """Give which part of a span's time lies between two moments."""
    length = span.end_ns - span.begin_ns
    if length <= 0:
        return 1.0 if begin_ns <= span.end_ns <= end_ns else 0.0
    return max(0, min(span.end_ns, end_ns) - max(span.begin_ns, begin_ns)) / length


def pools(  # noqa: PLR0913 - one argument a thing that bounds them
    spans: Sequence[Span],
    used: Mapping[Stream, int],
    *,
    max_bytes: int,
    max_age_s: float,
    segment_bytes: Mapping[Stream, int],
    overflow: Mapping[Stream, Overflow],
    thinned_ratio: float,
    now_ns: int,
    window_s: float,
) -> list[PoolForecast]:
    """Forecast each share of `max_bytes`; nothing grows older than `max_age_s`.

    `used` and `segment_bytes` are of each stream's files.
    `thinned_ratio` is which part of the bytes the coarsest thinning leaves.
    """
    found = []
    for streams, share in POOLS:
        mine = [span for span in spans if span.stream in streams]
        if not mine:
            continue
        present = tuple(s for s in Stream if s in streams and any(m.stream is s for m in mine))
        room = int(max_bytes * share) - sum(segment_bytes[stream] for stream in present)
        now = rate(mine, now_ns, window_s)
        pending = sum(span.bytes for span in mine if span.undelivered)
        thins = any(overflow[stream] is Overflow.THIN for stream in present)
        full_s = _lasts(capacity(room, thinned_ratio if thins else 1.0), pending, now)
        old_s = _ages(mine, max_age_s, now, now_ns)
        drops = min((s for s in (full_s, old_s) if s is not None), default=None)
        by = None if drops is None else "size" if drops == full_s else "age"
        found.append(
            PoolForecast(
                streams=present,
                room_bytes=room,
                used_bytes=sum(used.get(stream, 0) for stream in present),
                undelivered_bytes=pending,
                rate=now,
                thins_in_s=_lasts(room * THIN_FROM, pending, now) if thins else None,
                drops_in_s=drops,
                drops_by=by,
            )
        )
    return found


def capacity(room_bytes: float, ratio: float) -> float:
    """Give how many bytes, as first written, fit into a room before any must go.

    The newest tenth keeps all of its resolution, of the rest `ratio` is left.
    """
    if ratio >= 1.0:
        return room_bytes
    whole = room_bytes * NEWEST_SHARE
    return whole + (room_bytes - whole) / max(ratio, 1e-6)


def _lasts(capacity_bytes: float, pending_bytes: int, now: Rate | None) -> float | None:
    return None if now is None else max(0.0, (capacity_bytes - pending_bytes) / now.bytes_s)


def _ages(spans: Sequence[Span], max_age_s: float, now: Rate | None, now_ns: int) -> float | None:
    """Give when the first undelivered segment is too old; of each stream the newest stays.

    While something is written every segment gets a newer one, and the next one to come goes at
    that age.
    """
    waiting = [span for span in spans if span.undelivered]
    if now is None:
        newest = {span.stream: span for span in sorted(spans, key=lambda s: s.end_ns)}
        waiting = [span for span in waiting if span is not newest[span.stream]]
        if not waiting:
            return None
    oldest_ns = min((span.end_ns for span in waiting), default=now_ns)
    return max(0.0, max_age_s - (now_ns - oldest_ns) / 1e9)


def costs(
    measured: Mapping[tuple[str, str], float], stream_bytes_s: float, most: int
) -> list[TagCost]:
    """Give the tags that take the most, at most `most`, greatest first.

    `measured` is what each (device, tag) took of a sample, in any unit.
    """
    total = sum(measured.values())
    ranked = sorted(measured.items(), key=lambda item: (-item[1], item[0]))
    return [
        TagCost(*key, taken / total, taken / total * stream_bytes_s * DAY_S)
        for key, taken in ranked[:most]
        if total
    ]


def scaled(columns: Sequence[float], real: float) -> list[float]:
    """Give each column its part of the bytes that all of them really took together."""
    total = sum(columns)
    return [real / len(columns) if not total else real * column / total for column in columns]


def wear(bytes_written: int, seconds: float) -> float | None:
    """Give how many bytes are written to the disk in a day, None if too little is known."""
    return bytes_written / seconds * DAY_S if seconds > 0 and bytes_written else None
