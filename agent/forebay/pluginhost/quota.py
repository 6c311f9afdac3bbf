"""How much a plugin may give: token buckets for samples and bytes.

Owns the arithmetic. Pure. Must not know results.

A plugin that catches up gives in a second what it would have given in an hour: that is delayed, and
nothing of it is refused. What is too much for a full bucket at once is refused.
"""

from __future__ import annotations

BURST_S = 10.0
"""How many seconds' worth a full bucket holds."""


class Quota:
    """One bucket. It begins full."""

    def __init__(self, rate: float, now_s: float) -> None:
        """Fill at `rate` a second, from `now_s` (monotonic) on."""
        self._rate, self._at_s = rate, now_s
        self.most = rate * BURST_S
        """What a full bucket holds: nothing larger is let through at once."""
        self._held = self.most

    def wait_s(self, amount: float, now_s: float) -> float:
        """Give how long it takes until `amount`, at most `most`, is there; 0 if it is."""
        self._fill(now_s)
        return max(0.0, (min(amount, self.most) - self._held) / self._rate)

    def take(self, amount: float, now_s: float) -> None:
        """Take `amount`, for which `wait_s` was 0."""
        self._fill(now_s)
        self._held -= amount

    def _fill(self, now_s: float) -> None:
        self._held = min(self.most, self._held + max(0.0, now_s - self._at_s) * self._rate)
        self._at_s = max(now_s, self._at_s)
