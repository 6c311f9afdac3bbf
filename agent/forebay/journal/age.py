"""The clock by which data grows old: wall time, as far as it is believed.

Owns when a wall clock may let data go. Pure. Must not know segments.

Nothing grows old while nothing disciplines the wall clock: it may be wrong by years. Even one that
is disciplined can be set wrong, by hand or by a time server that errs. So a step ahead is believed
only once it has held for a day, time in which a person is told of it (`forebay status`); a step
back makes everything younger and is believed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.clock import Reading

BELIEVE_AFTER_S = 86_400.0
"""How long a wall clock that stepped ahead must keep its new time before data grows old by it."""

_ALIKE_NS = 1_000_000_000


class AgeClock:
    """Remembers which relation of wall clock and boot time it believes. One for each thread."""

    def __init__(self) -> None:
        """Believe the first disciplined reading: nothing older contradicts it."""
        self._believed_ns: int | None = None
        self._ahead: tuple[int, int] | None = None

    def now_ns(self, reading: Reading) -> int | None:
        """Give the wall time that ages are reckoned from; None while nothing may grow old."""
        if not reading.synced:
            self._ahead = None
            return None
        offset_ns, boottime_ns = reading.offset_ns, reading.boottime_ns
        if self._believed_ns is None or offset_ns <= self._believed_ns + _ALIKE_NS:
            self._believed_ns, self._ahead = offset_ns, None
        elif self._ahead is None or abs(offset_ns - self._ahead[0]) > _ALIKE_NS:
            self._ahead = offset_ns, boottime_ns
        elif boottime_ns - self._ahead[1] >= BELIEVE_AFTER_S * 1e9:
            self._believed_ns, self._ahead = offset_ns, None
        return boottime_ns + self._believed_ns
