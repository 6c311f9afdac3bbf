"""What is said of the line to the fleet server.

Owns the shape, which the control socket and the management share. Must not know either.
"""

from __future__ import annotations

from typing import NamedTuple


class LinkStatus(NamedTuple):
    """The stream to the fleet server at one moment. Durations are seconds.

    `state` is `unenrolled`, `connecting`, `connected` (for `connected_s`) or `waiting` (the next
    try is in `next_try_s`). `last_error` and `last_hint` are of the last stream that ended, as long
    as no other stands. `last_offer` is of the state that came last by it, empty if none did since
    the agent began; `refused` and `refused_hint` say why this box does not take that.
    """

    state: str
    address: str = ""
    connected_s: float = 0.0
    next_try_s: float = 0.0
    last_error: str = ""
    last_hint: str = ""
    last_offer: str = ""
    refused: str = ""
    refused_hint: str = ""
