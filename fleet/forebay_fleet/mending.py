"""Times that a gateway stamped while nothing had set its clock, made right when somebody reads.

Pure: owns the rule. Must not know the store. Nothing that is stored is ever changed.

An Anchor ties the gateway's wall clock to a clock that runs evenly from boot on. The records from
one anchor to the next one of their line were stamped by the clock as the first of the two describes
it. If that one says UNSYNCED, the wall clock may have been wrong by years; but once the same boot
has an anchor that says SYNCED, the difference between the two ties tells by how much:

    correction = (wall - monotonic) of the SYNCED anchor - (wall - monotonic) of the UNSYNCED one

The next SYNCED anchor of the boot is taken, else the last one before. HOLDOVER is left alone: that
clock was right and drifts by 500 ppm at most, and nothing tells how much of it when.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forebay_fleet._proto import batch_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LAST = 1 << 62
"""Above every seq."""


class Tie(NamedTuple):
    """An Anchor where it stands: wall clock and time since boot at one moment, and the state."""

    line: int
    seq: int
    boot_id: str
    wall_ns: int
    monotonic_ns: int
    state: int

    @property
    def offset_ns(self) -> int:
        """What makes a wall time of a time since boot."""
        return self.wall_ns - self.monotonic_ns


class Stretch(NamedTuple):
    """Positions of one line, both ends inclusive, that a clock stamped which nothing had set.

    Times stamped by it are right after adding `correction_ns`; None if nobody can know.
    """

    line: int
    first: int
    last: int
    correction_ns: int | None


def stretches(ties: Iterable[Tie]) -> list[Stretch]:
    """Give what was stamped by an undisciplined clock, by line and position."""
    by_line = sorted(ties, key=lambda tie: (tie.line, tie.seq))
    synced: dict[str, list[Tie]] = {}
    for tie in sorted(by_line, key=lambda tie: tie.monotonic_ns):
        if tie.state == batch_pb2.SYNCED:
            synced.setdefault(tie.boot_id, []).append(tie)
    found = []
    for line, of_line in groupby(by_line, key=lambda tie: tie.line):
        own = list(of_line)
        for tie, following in zip(own, [*own[1:], None], strict=True):
            if tie.state == batch_pb2.UNSYNCED:
                last = following.seq - 1 if following else LAST
                right = _nearest(synced.get(tie.boot_id, []), tie.monotonic_ns)
                correction = None if right is None else right.offset_ns - tie.offset_ns
                if correction != 0:
                    found.append(Stretch(line, tie.seq, last, correction))
    return found


def _nearest(synced: Sequence[Tie], monotonic_ns: int) -> Tie | None:
    """Give the first tie from `monotonic_ns` on, else the last one before."""
    if not synced:
        return None
    at = bisect_right([tie.monotonic_ns for tie in synced], monotonic_ns - 1)
    return synced[min(at, len(synced) - 1)]


class Stretches:
    """All stretches of one gateway, to be asked for a position."""

    def __init__(self, found: Iterable[Stretch] = ()) -> None:
        """Keep what `stretches` gave."""
        self._of_line: dict[int, list[Stretch]] = {}
        for stretch in found:
            self._of_line.setdefault(stretch.line, []).append(stretch)

    def at(self, line: int, seq: int) -> Stretch | None:
        """Give the stretch that holds a position, None if its clock was right."""
        own = self._of_line.get(line, [])
        at = bisect_right(own, seq, key=lambda stretch: stretch.first) - 1
        return own[at] if at >= 0 and seq <= own[at].last else None

    def correction_ns(self, line: int, seq: int) -> int:
        """Give what to add to a time that the gateway stamped there; 0 if that cannot be known."""
        stretch = self.at(line, seq)
        return 0 if stretch is None else stretch.correction_ns or 0

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._of_line)

    @property
    def mendable(self) -> list[Stretch]:
        """Those whose correction is known."""
        return [s for own in self._of_line.values() for s in own if s.correction_ns is not None]


def mended(
    times_ns: NDArray[np.int64],
    received_ns: NDArray[np.int64],
    correction_ns: int | NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give source times and times of receipt, both of shape (rows,), as they should have been.

    `correction_ns` is that of all rows, or of each.

    A source time nearer to the right time of receipt than to the stamped one was not told by the
    gateway's clock but by the device's own: it stays.
    """
    right = received_ns + correction_ns
    own = np.abs(times_ns - right) < np.abs(times_ns - received_ns)
    return np.where(own, times_ns, times_ns + correction_ns), right
