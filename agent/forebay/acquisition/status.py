"""What a session says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SessionStatus:
    """What `forebay devices` shows of one session.

    `state` is connecting, connected or waiting; `overrunning` says whether the last poll of
    some group ended after its period; `last_data_ns` is wall time, 0 for never;
    `next_try_at_s` is on the monotonic clock.
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
