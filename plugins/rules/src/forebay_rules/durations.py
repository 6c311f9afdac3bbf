"""Durations as people write them in settings and expressions."""

from __future__ import annotations

import re

_UNITS_NS = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_WRITTEN = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|min|h|d)$")


def duration_ns(value: object) -> int:
    """Read `"250 ms"` as nanoseconds; a number is seconds.

    Raises:
        ValueError: it is no duration, or under 0.
    """
    if isinstance(value, str):
        match = _WRITTEN.match(value.strip())
        if match is not None:
            return round(float(match[1]) * _UNITS_NS[match[2]])
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return round(value * _UNITS_NS["s"])
    raise ValueError(f'{value!r} is no duration; write for example "250 ms", "5 s" or "2 h"')
