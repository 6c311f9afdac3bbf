"""When to try again.

Pure arithmetic over back-off settings, failures so far and one random draw.

Owns what a forwarder makes of the back-off curve of `settings`. Must not know clocks, sessions or
why something failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.settings import BackoffSettings

MAX_ASKED_WAIT_S = 3600.0
"""The longest wait a destination can impose: a wrong value must not silence a gateway for good."""


def wait_s(failures: int, backoff: BackoffSettings, draw: float, asked_s: float | None) -> float:
    """Give the wait when the destination may have asked for one: `asked_s`, or None.

    It is never less than that, up to MAX_ASKED_WAIT_S.

    The jitter comes on top, because everyone that was turned away was told the same number.
    """
    own = backoff.wait_s(failures, draw)
    return own if asked_s is None else min(max(asked_s, 0.0), MAX_ASKED_WAIT_S) + own


def failures_after(
    failures: int, *, progressed: bool, lasted_s: float, backoff: BackoffSettings
) -> int:
    """Give the failures in a row after one more session ended.

    A session that moved data, or outlived the longest wait, starts the count anew: what ended it is
    a new trouble.
    """
    return 1 if progressed or lasted_s > backoff.most else failures + 1
