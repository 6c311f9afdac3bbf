"""Conditions over time: how long one has held, and a switch with hysteresis. Pure, by vectors.

Owns what is kept from window to window. A row that is bad is no evidence of anything: it begins a
delay anew, and it switches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forebay_rules.rows import Times, Vector


def lasting(
    condition: Vector, times: Times, since_ns: int | None, least_ns: int
) -> tuple[Vector, int | None]:
    """Tell where `condition` (rows; 1, 0 or NaN) has been true for `least_ns` without a break.

    `since_ns` is when it became true before these rows, None if it was not. Gives (rows) 1, 0, or
    NaN where the condition is, and the same for the next rows.
    """
    if not len(times):
        return condition, since_ns
    true = condition == 1
    before = np.concatenate([[since_ns is not None], true[:-1]])
    begins = np.flatnonzero(true & ~before)
    starts = np.full(len(times), -1, dtype=np.int64)
    starts[begins] = times[begins]
    if since_ns is not None and true[0]:
        starts[0] = since_ns
    started = _last_known(starts)
    held = true & (times - started >= least_ns)
    found = np.where(np.isnan(condition), np.nan, held.astype(np.float64))
    return found, int(started[-1]) if true[-1] else None


def _last_known(starts: Times) -> Times:
    """The last entry that is not -1, at each row or before it; the first row's if none is."""
    place = np.where(starts >= 0, np.arange(len(starts)), 0)
    return starts[np.maximum.accumulate(place)]


def switched(up: Vector, down: Vector, *, on: bool | None) -> tuple[Vector, bool | None]:
    """Hold what was said last: on where `up` is 1, off where `down` is 1; `up` goes before.

    `on` is what was said before these rows, None if nothing was: then there is NaN until something
    is said, but off from the first row on that is known.
    """
    if not len(up):
        return up, on
    said = np.where(up == 1, 1.0, np.where(down == 1, 0.0, np.nan))
    unknown = np.isnan(up) | np.isnan(down)
    if on is not None and np.isnan(said[0]):
        said[0] = float(on)
    elif on is None and not unknown.all():
        first = int(np.argmin(unknown))
        said[first] = 0.0 if np.isnan(said[: first + 1]).all() else said[first]
    place = np.where(np.isnan(said), 0, np.arange(len(said)))
    held = said[np.maximum.accumulate(place)]
    last = None if np.isnan(held[-1]) else bool(held[-1])
    return np.where(unknown, np.nan, held), last
