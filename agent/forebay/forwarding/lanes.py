"""Which stream is served next: strict priority, with a floor for those below.

Owns the choice. Pure: bytes in, a stream out. Must not know records, credit or time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR = 0.1
"""The part of the bytes that a stream leaves to all streams below it together while they wait."""


class Lanes:
    """Remembers what each stream owes to those below it.

    While a stream and a less urgent one both have records, serving the upper one by n bytes makes
    it owe n * FLOOR / (1 - FLOOR) to the lower ones; it is passed over while it owes anything.
    Audit over events over telemetry over bulk, each with its own debt: all four busy get about 90,
    9, 0.9 and 0.1 % of the bytes. A debt ends when nobody below waits.
    """

    def __init__(self) -> None:
        self._owed: dict[Stream, float] = dict.fromkeys(Stream, 0.0)

    def pick(self, ready: Sequence[Stream]) -> Stream:
        """Give the stream to serve next.

        `ready` are those with records, most urgent first, at least one.
        """
        for stream in ready[:-1]:
            if self._owed[stream] <= 0:
                return stream
        return ready[-1]

    def served(self, stream: Stream, ready: Sequence[Stream], size_bytes: int) -> None:
        """Account for `size_bytes` sent from `stream`, which `pick(ready)` gave."""
        place = ready.index(stream)
        for above in ready[:place]:
            self._owed[above] -= size_bytes
        if place + 1 < len(ready):
            self._owed[stream] += size_bytes * FLOOR / (1 - FLOOR)
        for idle in set(Stream).difference(ready[:-1]):
            self._owed[idle] = 0.0
