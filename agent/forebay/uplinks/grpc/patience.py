"""How long to wait for the answer to a ping: it stands in the queue behind what is being sent.

Owns what was learned of the line from one session to the next. Pure but for its memory; times are
seconds on the monotonic clock. Must not know gRPC.

A path that is dead must be found within half a minute, and a line that is only slow must not be
taken for one: 250 kB take two minutes at 16 kbit/s, and a session that gives up before would send
them again for ever. So a session begins impatient, and one that fell silent with more on its way
than the line had shown it can carry in that time is followed by a more patient one.
"""

from __future__ import annotations

from collections import deque

FIRST_S = 10.0
"""Patience where nothing is known of the line."""
MOST_S = 300.0
MOST_SENT = 65_536
"""Records on their way that are told apart; of older ones nothing is learned."""


class Patience:
    """What one uplink knows of its line."""

    def __init__(self) -> None:
        """Know nothing."""
        self.seconds = FIRST_S
        """For the next session."""
        self._sent: deque[tuple[float, int]] = deque(maxlen=MOST_SENT)
        self._answered = 0
        self._heard_s = 0.0
        self._rate = 0.0
        self._open = False

    def opened(self, now_s: float) -> None:
        """Note that a session was agreed on."""
        self._open, self._heard_s, self._answered, self._rate = True, now_s, 0, 0.0
        self._sent.clear()

    def sent(self, nbytes: int, now_s: float) -> None:
        """Note that a record of `nbytes` was handed to the transport."""
        self._answered += len(self._sent) == MOST_SENT  # the oldest goes, as if it were answered
        self._sent.append((now_s, nbytes))

    def heard(self, answered: int | None, now_s: float) -> None:
        """Note an answer: `answered` records of this session were looked at, if it says so."""
        self._heard_s = now_s
        nbytes, since_s = 0, now_s
        while self._sent and answered is not None and self._answered < answered:
            sent_s, size = self._sent.popleft()
            nbytes, since_s = nbytes + size, min(since_s, sent_s)
            self._answered += 1
        if nbytes:
            self._rate = max(self._rate, nbytes / max(now_s - since_s, 1e-3))

    def ended(self, now_s: float) -> None:
        """Note the end of what was opened, or of an attempt; sets the patience of the next."""
        if self._open and self._sent and now_s - self._heard_s >= self.seconds:
            self.seconds = self._learned_s()
        self._open = False

    def _learned_s(self) -> float:
        """Give the patience after a session that fell silent with records on their way."""
        twice_s = min(2 * self.seconds, MOST_S)
        if not self._rate:
            return twice_s
        needed_s = sum(nbytes for _, nbytes in self._sent) / self._rate
        if needed_s < self.seconds / 2:
            return FIRST_S  # the line had been fast enough: it was dead
        return max(twice_s, min(2 * needed_s, MOST_S))
