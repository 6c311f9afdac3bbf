"""What a metered line may carry: bits a second, bytes a day, times of day.

Owns the arithmetic and the words for what is held. Pure: times come in as arguments. Must not know
records, sessions or files.

Times of day and days are those of the machine's local time, read anew each time, so that a change
to or from daylight saving needs no care: a span that the change skips does not come that day, one
that it repeats comes twice. They go by the wall clock whether or not anything disciplines it,
because many a plant has no time server. Only a clock that was never set, which shows a date before
this program was written, has no time of day: then backfill with `windows` waits, and what is sent
counts to the day that was last known, or else to the one that the clock is set to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from forebay.forwarding.lanes import Lane
from forebay.model import Stream
from forebay.settings import parse_span

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from forebay.settings import UplinkSettings

ENVELOPE_BYTES = 160
"""Counted for each record beside its payload: about what envelope, TLS and TCP take."""
BURST_S = 0.25
"""How much of a cap's allowance may come at once."""
URGENT = frozenset({Stream.AUDIT, Stream.EVENTS})
"""Small, and worth more than what they cost: no day or time of day holds them unless told."""

_NEVER_SET_NS = 1_672_531_200_000_000_000  # 2023-01-01
_MINUTES_A_DAY = 1440


class Bucket:
    """A cap: tokens come at its rate, what is sent takes them.

    One record may always go while there is a token, and takes more than there are if it is large:
    the next waits the longer.
    """

    def __init__(self, bits_per_s: int) -> None:
        self._rate = bits_per_s / 8
        self._burst = self._tokens = self._rate * BURST_S
        self._at_s: float | None = None

    def room(self, now_s: float) -> float:
        """Give how many bytes may go at monotonic `now_s`; zero or less: none."""
        passed = 0.0 if self._at_s is None else now_s - self._at_s
        self._at_s = now_s
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        return self._tokens

    def take(self, size_bytes: int) -> None:
        """Note that so much was sent."""
        self._tokens -= size_bytes

    def wait_s(self) -> float:
        """Give how long after the last `room` there is any."""
        return 0.0 if self._tokens > 0 else (1 - self._tokens) / self._rate


@dataclass(slots=True)
class Spent:
    """What was sent on a local day: payload alone, and with envelopes for each lane.

    `day` is empty until the clock is set. `earlier` is the day that counted before, for a clock
    that goes back to it.
    """

    day: str = ""
    payload: int = 0
    lanes: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    earlier: Spent | None = None


class Budget:
    """All limits of one uplink."""

    def __init__(
        self, settings: UplinkSettings, spent: Spent | None = None, zone: tzinfo | None = None
    ) -> None:
        """Go on from what was `spent`; `zone` is the local one if not given."""
        live, backfill = settings.live, settings.backfill
        self._zone = zone
        self._daily: Mapping[Lane, int | None] = {
            Lane.LIVE: live.daily,
            Lane.BACKFILL: backfill.daily,
        }
        self._all = {Lane.LIVE: live.all_streams, Lane.BACKFILL: backfill.all_streams}
        self._spans = [parse_span(text) for text in backfill.windows]
        shared = None if settings.link.cap is None else Bucket(settings.link.cap)
        own = None if backfill.cap is None else Bucket(backfill.cap)
        self._buckets = {
            Lane.LIVE: [b for b in (shared,) if b],
            Lane.BACKFILL: [b for b in (shared, own) if b],
        }
        self.spent = spent or Spent()
        self._unset_day = ""

    @property
    def remembers(self) -> bool:
        """Whether what was spent matters to the next run."""
        return any(daily is not None for daily in self._daily.values())

    def held(self, lane: Lane, stream: Stream, now_ns: int) -> str:
        """Say why nothing of a lane's stream may be sent at wall time `now_ns`; empty: it may."""
        if stream in URGENT and not self._all[lane]:
            return ""
        if lane is Lane.BACKFILL and self._spans:
            if now_ns < _NEVER_SET_NS:
                return "backfill waits until the clock is set"
            if not any(_within(span, self._minute(now_ns)) for span in self._spans):
                return f"backfill waits for {self._next_begin(self._minute(now_ns))}"
        daily = self._daily[lane]
        if daily is not None and self.left(lane, stream, now_ns) <= 0:
            return f"{lane} has used its {_mebibytes(daily)} of today"
        return ""

    def room(self, lane: Lane, now_s: float) -> float:
        """Give how many bytes of a lane the caps let go at monotonic `now_s`."""
        return min([bucket.room(now_s) for bucket in self._buckets[lane]], default=float("inf"))

    def left(self, lane: Lane, stream: Stream, now_ns: int) -> float:
        """Give how many bytes of a lane's stream the day lets go at wall time `now_ns`."""
        daily = self._daily[lane]
        if daily is None or (stream in URGENT and not self._all[lane]):
            return float("inf")
        self._roll(now_ns)
        return daily - self.spent.lanes[lane]

    def wait_s(self, lane: Lane) -> float:
        """Give how long after the last `room` the caps let something go."""
        return max([bucket.wait_s() for bucket in self._buckets[lane]], default=0.0)

    def spend(self, lane: Lane, records: int, payload_bytes: int, now_ns: int) -> None:
        """Note that so much was sent."""
        self._roll(now_ns)
        size = payload_bytes + records * ENVELOPE_BYTES
        for bucket in self._buckets[lane]:
            bucket.take(size)
        self.spent.payload += payload_bytes
        self.spent.lanes[lane] += size

    def today_bytes(self, now_ns: int) -> int:
        """Give the payload sent since midnight, local time."""
        self._roll(now_ns)
        return self.spent.payload

    def _roll(self, now_ns: int) -> None:
        """Turn to another day when the local date is another one, whichever way the clock went.

        The date of a clock that was never set says only that another day of uptime has begun.
        """
        today = self._local(now_ns).date().isoformat()
        if now_ns >= _NEVER_SET_NS:
            self._unset_day = ""
            if self.spent.day != today:
                self.spent = _turned(self.spent, today)
        else:
            if self._unset_day not in ("", today):
                self.spent = _turned(self.spent, "")
            self._unset_day = today

    def _local(self, now_ns: int) -> datetime:
        return datetime.fromtimestamp(now_ns // 1_000_000_000, self._zone)

    def _minute(self, now_ns: int) -> int:
        now = self._local(now_ns)
        return 60 * now.hour + now.minute

    def _next_begin(self, minute: int) -> str:
        begin = min(
            (begin for begin, _ in self._spans), key=lambda b: (b - minute) % _MINUTES_A_DAY
        )
        return f"{begin // 60:02}:{begin % 60:02}"


def spent_from(data: object) -> Spent:
    """Read what `spent_to` gave; nothing spent if it is anything else."""
    try:
        spent = _day_from(data)
        earlier = data.get("earlier")  # type: ignore[attr-defined]
        spent.earlier = None if earlier is None else _day_from(earlier)
    except (AttributeError, KeyError, TypeError, ValueError):
        return Spent()
    return spent


def spent_to(spent: Spent) -> dict[str, object]:
    """Give what was spent as JSON takes it."""
    data = _day_to(spent)
    return data if spent.earlier is None else {**data, "earlier": _day_to(spent.earlier)}


def _day_from(data: Any) -> Spent:  # noqa: ANN401 - whatever a file holds
    day, lanes = data["day"], data["lanes"]
    if day != "":
        date.fromisoformat(day)
    amounts = {lane: max(0, int(lanes[lane.value])) for lane in Lane}
    return Spent(day, max(0, int(data["payload"])), amounts)


def _day_to(spent: Spent) -> dict[str, object]:
    lanes = {lane.value: amount for lane, amount in spent.lanes.items()}
    return {"day": spent.day, "payload": spent.payload, "lanes": lanes}


def _turned(spent: Spent, day: str) -> Spent:
    """Give the amounts of `day` where those of `spent` have counted until now.

    What was sent on no known day counts to the first that is known.
    """
    dated = [one for one in (spent, spent.earlier) if one is not None and one.day]
    here = next((one for one in dated if one.day == day), Spent(day))
    more = spent if day and not spent.day else Spent()
    lanes = {lane: here.lanes[lane] + more.lanes[lane] for lane in Lane}
    earlier = next((replace(one, earlier=None) for one in dated if one.day != day), None)
    return Spent(day, here.payload + more.payload, lanes, earlier)


def _within(span: tuple[int, int], minute: int) -> bool:
    begin, end = span
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _mebibytes(size: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"
