"""How long a reader is behind a log that grows, and where a live lane begins.

Pure: owns the arithmetic. Works on positions and a monotonic clock, so that neither a wrong wall
clock nor a device's own times can make a backlog look young or old. Must not know feeds or uplinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.forwarding.coverage import Coverage
    from forebay.model import Position

MOST_ISLANDS = 16
"""Runs that the destination may have beyond what it has whole: no more are begun."""


class Lag:
    """The age of what one reader has not done.

    Sets itself a goal, the log's end at some moment, and a new one each time it is reached: while a
    goal is not reached, the reader is behind by the time since it was set.
    """

    def __init__(self) -> None:
        self._goal: Position | None = None
        self._since_s = 0.0

    def note(self, reached: Position, end: Position, now_s: float) -> None:
        """Note at monotonic `now_s` how far the reader and the log are."""
        if self._goal is None or reached >= self._goal:
            self._goal, self._since_s = end, now_s

    def behind_s(self, reached: Position, now_s: float) -> float:
        """Give for how long something has waited: at least so long, and at most a goal longer."""
        if self._goal is None or reached >= self._goal:
            return 0.0
        return now_s - self._since_s

    def forget(self) -> None:
        """Begin anew: the reader has another place."""
        self._goal = None


@dataclass(frozen=True, slots=True)
class Split:
    """What decides where a stream's live lane begins.

    `after` is where its oldest record to send lies behind, `end` the log's last position, `there`
    what the destination has of the end's epoch, `old` whether the backlog is worth two lanes and
    `fresh` whether what lies behind the newest of it is not.
    """

    after: Position
    end: Position
    there: Coverage
    old: bool
    fresh: bool


def live_from(split: Split) -> Position | None:
    """Give the position behind which the live lane begins; None for one lane, in order.

    At the log's end. But behind the newest that an earlier live lane brought if that is not far, so
    that a short outage makes no new island, or if there are as many as the destination can tell.
    """
    if not split.old or split.end <= split.after:
        return None
    earlier = split.end._replace(seq=split.there.top)
    many = split.there.islands >= MOST_ISLANDS
    if (split.fresh or many) and split.there.top and earlier > split.after:
        return earlier
    return split.end
