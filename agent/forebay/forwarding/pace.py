"""How much may be in flight so that what is sent next does not wait long behind it.

Pure: owns the arithmetic. Without it all credit would lie in the buffers on the way: at 512 kbit/s
the 16 MiB of a server are four minutes. Must not know sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.forwarding.window import Flight

LEAST_BYTES = 64 << 10
"""May be in flight where nothing more urgent can come: where every session begins, too."""
ALONE_S = 5.0
"""How much may be on its way where nothing more urgent can come: well within the ack deadline."""
BEHIND_S = 0.2
"""The most by which backfill may delay what is live, where the way is long."""
BEHIND_SHARE = 0.25
"""By how much of the empty way it may: more would wait somewhere and bring nothing, and without
any it could not be seen that the destination takes more."""
BEYOND_S = 2.0
"""For how long the last record may keep the line busy beyond what may be in flight."""
LEAST_RATE = 1000.0
"""Bytes a second of the slowest line whose sending is waited for: 8 kbit/s."""
_FADE = 0.97


class Pace:
    """Learns from acks how fast the destination takes, and how long an empty way is.

    Each ack of a record gives the bytes acknowledged since it was sent and the time that took. The
    best of late is the rate; the shortest time is the way with nothing waiting on it. What may be
    in flight is what the rate takes in that time and in a wait that is allowed. While there is no
    wait the bound grows with every round.
    """

    def __init__(self) -> None:
        self._rate = 0.0
        self._way_s = float("inf")

    def acked(self, last: Flight, acked_bytes: int, now_s: float) -> None:
        """Learn from an ack: `last` is the newest record it freed, `acked_bytes` all so far."""
        took_s = max(now_s - last.sent_s, 1e-4)
        self._way_s = min(self._way_s, took_s)
        self._rate = max(self._rate * _FADE, (acked_bytes - last.acked_bytes) / took_s)

    def takes_s(self, size_bytes: int, *, proven: bool = True) -> float:
        """Give how long the way may take for so much; `proven`: not longer than it showed."""
        return size_bytes / (max(self._rate, LEAST_RATE) if proven else LEAST_RATE)

    def most_bytes(self, *, behind: bool) -> float:
        """Give how many payload bytes may be in flight; `behind`: what is more urgent may come."""
        if not self._rate:
            return LEAST_BYTES
        if behind:  # no least: on a short way 64 KiB are what a live reading waits for
            return self._rate * (self._way_s + min(BEHIND_S, BEHIND_SHARE * self._way_s))
        return max(LEAST_BYTES, self._rate * (self._way_s + ALONE_S))

    def lets(self, size_bytes: int, flying_bytes: int, *, behind: bool) -> bool:
        """Whether one more record may go.

        One may begin within the bound and end beyond it: if each had to fit in whole, a few large
        ones would never show that the destination takes more. But not on a line so slow that it
        would be in the way for long.
        """
        most = self.most_bytes(behind=behind)
        if not flying_bytes or flying_bytes + size_bytes <= most:
            return True
        return flying_bytes < most and size_bytes <= self._rate * BEYOND_S
