"""What a session says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SessionStatus:
    """What `forebay devices` shows of one session.

    `state` is connecting, connected or waiting; `overrunning` says whether the last poll of
    some group ended after its period; `last_data_ns` is wall time, 0 for never. `good_samples` had
    a quality that is not Bad, the last of them at `last_good_s`; that and `next_try_at_s` are on
    the monotonic clock.
    """

    state: str = "connecting"
    polls: int = 0
    overruns: int = 0
    overrunning: bool = False
    connections: int = 0
    last_poll_ms: float = 0.0
    last_data_ns: int = 0
    last_error: str = ""
    last_hint: str = ""
    next_try_at_s: float = 0.0
    good_samples: int = 0
    last_good_s: float | None = None

    def good(self, samples: int, now_s: float) -> None:
        """Count samples of a batch that are not bad, if any."""
        if samples:
            self.good_samples += samples
            self.last_good_s = now_s
