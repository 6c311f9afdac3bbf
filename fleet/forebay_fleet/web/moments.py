"""Times and spans as a page shows them. Pure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay_fleet.web.words import Words

_SECOND = 10**9
_UNITS = (("day", 86_400 * _SECOND), ("hour", 3600 * _SECOND), ("minute", 60 * _SECOND))


def stamp(time_ns: int) -> str:
    """Give ns since 1970 as `2026-01-31 08:00:00 UTC`, a dash for never."""
    if not time_ns:
        return "–"  # noqa: RUF001 - as tables show nothing
    moment = dt.datetime.fromtimestamp(time_ns // _SECOND, dt.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def ago(t: Words, span_ns: int) -> str:
    """Give how long ago something was: `now`, `3 min ago`."""
    return t("moment.now") if span_ns < 10 * _SECOND else t("moment.ago", span=span(t, span_ns))


def span(t: Words, span_ns: int) -> str:
    """Give a span in its largest whole unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    for name, size_ns in _UNITS:
        if span_ns >= size_ns:
            return t(f"moment.{name}", count=span_ns // size_ns)
    return t("moment.second", count=max(0, span_ns) // _SECOND)
