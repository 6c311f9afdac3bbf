"""Times that people and programs write, and stretches between two of them.

Must not know what is asked for.
"""

from __future__ import annotations

import datetime as dt

from forebay_fleet.errors import UsageError

DAY_NS = 86_400 * 10**9
EARLIEST_NS, LATEST_NS = -(1 << 62), (1 << 62) - 1
_ISO_DATE = len("20260131")
_ORIGIN = dt.datetime.fromtimestamp(0, dt.UTC)


def moment_ns(text: str) -> int:
    """Turn ISO 8601, UTC unless it says otherwise, or ns since 1970 into the latter.

    Raises:
        UsageError: it is neither, or lies beyond the years 1823 to 2116.
    """
    try:
        whole = text.lstrip("-").isdecimal() and len(text) != _ISO_DATE
        time_ns = int(text) if whole else _iso_ns(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no time", hint="write 2026-01-31T08:00:00Z") from None
    return within(time_ns)


def within(time_ns: int) -> int:
    """Give the same. UsageError beyond the years 1823 to 2116."""
    if not EARLIEST_NS <= time_ns <= LATEST_NS:
        raise UsageError(f"{time_ns} is too far away", hint="write ns since 1970")
    return time_ns


def span_ns(since: str | None, until: str | None, now_ns: int) -> tuple[int, int]:
    """Give both ends, inclusive: by default the 24 h up to `until`, and that is by default now.

    Raises:
        UsageError: a text that is no time, or an end before its beginning.
    """
    ends = [None if text is None else moment_ns(text) for text in (since, until)]
    return between(ends[0], ends[1], now_ns)


def between(since_ns: int | None, until_ns: int | None, now_ns: int) -> tuple[int, int]:
    """Give the same of times in ns. UsageError as `span_ns`."""
    last = now_ns if until_ns is None else within(until_ns)
    first = last - DAY_NS if since_ns is None else within(since_ns)
    if first > last:
        raise UsageError("`to` lies before `from`", hint="both are source times")
    return first, last


def _iso_ns(text: str) -> int:
    # A `+` of a zone that nobody escaped arrives as a space.
    moment = dt.datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _ORIGIN) // dt.timedelta(microseconds=1) * 1000
