"""The lanes of one stream within one session.

Owns which feeds there are and how far the stream is done. Must not know other streams, credit or
what is sent when.

    ──after──▶ [ rear: backfill ] ──▶ split ──▶ [ front: live ] ──▶
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from forebay.forwarding.lanes import Lane

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from forebay.forwarding.feed import Feed
    from forebay.forwarding.window import Window
    from forebay.model import Position, Record, Stream

Started = tuple["Feed", "asyncio.Task[NoReturn]"]


class Route:
    """One feed, or two: then the one behind is backfill, up to where the other one began."""

    def __init__(
        self, stream: Stream, start: Callable[[Position], Started], after: Position
    ) -> None:
        """Begin with one lane behind `after`; `start` makes a feed and its task."""
        self.stream = stream
        self._start = start
        self._front: Started = start(after)
        self._rear: Started | None = None
        self.live_from = after
        """Where the live lane began."""

    @property
    def is_split(self) -> bool:
        """Whether there is a backfill lane."""
        if self._rear is not None and self._rear[0].done:
            self._rear[1].cancel()
            self._rear = None
        return self._rear is not None

    @property
    def passed(self) -> Position:
        """How far all records were taken or needed not to be."""
        rear = self._rear
        return rear[0].passed if self.is_split and rear else self._front[0].passed

    def split(self, at: Position) -> None:
        """Begin a live lane behind `at`; what lies before it and is not sent is backfill."""
        feed, task = self._front
        if self.is_split and self._rear is not None:
            task.cancel()
            self._rear[0].stop_at(at)
        else:
            feed.stop_at(at)
            self._rear = self._front
        self._front = self._start(at)
        self.live_from = at

    def feed(self, lane: Lane) -> Feed | None:
        """Give a lane's feed, None if there is no such lane now."""
        if lane is Lane.LIVE:
            return self._front[0]
        return self._rear[0] if self.is_split and self._rear is not None else None

    def first(self, lane: Lane) -> Record | None:
        """Give the next record of a lane."""
        feed = self.feed(lane)
        return None if feed is None else feed.first()

    def reached(self, window: Window) -> Position:
        """Give up to where everything is acknowledged or needed not to be sent."""
        return window.reached(self.stream, self.passed)

    def live_reached(self, window: Window) -> Position:
        """Give up to where the live lane is acknowledged."""
        return window.reached(self.stream, self._front[0].passed, Lane.LIVE)
