"""Says over the stream which tags have another value than before: the box's shadow at the server.

Owns what the server was told, and the pace. Nothing is done while there is no stream, and no value
is looked at by itself before it is told: what differs is found by comparing whole columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay._proto import fleet_pb2 as pb
from forebay.management.telling import told
from forebay.pluginhost.results import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from forebay.interfaces import Seams
    from forebay.management.runtime import Runtime
    from forebay.pipeline.shadow import Snapshot

MOST = 2_000
"""Values in one message; there is at most one message a second."""
SOON_S = 0.5
"""A report that goes out anyway takes a look along that is due so soon."""
LOOK_S, AGAIN_S = 5.0, 1.0
"""How soon another interval is noticed, at most; how often it is said that a look is due."""


class Shadowing:
    """Of one agent: a `parts.Part`."""

    capabilities = pb.AGENT_REPORTS_SHADOW

    def __init__(self, runtime: Runtime, seams: Seams) -> None:
        """Look at this agent, as soon as somebody listens."""
        self._runtime, self._seams = runtime, seams
        self._said: dict[int, Snapshot] = {}
        self._turns = -1
        self._looked_s: float | None = None
        self._left: list[tuple[Snapshot, NDArray[np.intp]]] = []
        self._open = self._first = False
        self.news: Callable[[], None] = _nobody
        """See `Part.news`."""

    async def run(self) -> None:
        """Say when a look is due, until cancelled: reports alone go out every ten seconds."""
        while True:
            interval, wait_s = self._runtime.loaded.config.fleet.shadow_interval, LOOK_S
            if interval != "off" and self._looked_s is not None:
                now_s = self._seams.clock.monotonic_s()
                wait_s = self._looked_s + interval - now_s
                if wait_s <= 0:
                    self.news()
            await self._seams.clock.sleep(min(max(wait_s, AGAIN_S), LOOK_S))

    async def take(self, message: object, identity: object) -> None:
        """See `Part.take`: nothing is asked of it."""

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """See `Part.report`."""
        interval = self._runtime.loaded.config.fleet.shadow_interval
        if interval == "off":
            self._forget()
            return
        now_s = self._seams.clock.monotonic_s()
        if full or self._turns != self._runtime.shadow.turns:
            self._forget()
        if not self._left and not self._open:
            due = self._looked_s is None or now_s - self._looked_s >= interval - SOON_S
            if not due:
                return
            self._looked_s = now_s
            self._look()
        if self._left or self._open:
            self._say(message.shadow)
        if self._left:
            self.news()

    def _forget(self) -> None:
        """Tell all of it again: the server may know nothing, or of tags that are no more."""
        self._said.clear()
        self._left.clear()
        self._open, self._looked_s = False, None

    def _look(self) -> None:
        """Find what differs from what was said."""
        shadow = self._runtime.shadow
        if not self._said:
            self._turns, self._open, self._first = shadow.turns, True, True
        for now in shadow.snapshots():
            columns = differing(self._said.get(now.schema.id), now)
            self._said[now.schema.id] = now
            if len(columns):
                self._left.append((now, columns))

    def _say(self, report: pb.ShadowReport) -> None:
        """Fill one message with what is left to say."""
        report.full, self._first = self._first, False
        devices = {device.spec.name for device in self._runtime.loaded.devices}
        room = MOST
        while self._left and room:
            snapshot, columns = self._left.pop(0)
            now, later = columns[:room], columns[room:]
            room -= len(now)
            if len(later):
                self._left.insert(0, (snapshot, later))
            source, tags = snapshot.schema.source, snapshot.schema.tags
            report.values.extend(
                told(source, snapshot.sample(column))
                for column in now.tolist()
                if tags[column].name != WINDOW or source in devices
            )
        if self._open and not self._left:
            report.complete, self._open = True, False


def differing(before: Snapshot | None, now: Snapshot) -> NDArray[np.intp]:
    """Give the columns whose quality or value is another than `before`; all if there is none.

    A value that is not a number equals itself here.
    """
    if before is None:
        return np.arange(len(now.schema.tags))
    other = before.quality != now.quality
    for lane, was, values in zip(now.schema.lanes, before.values, now.values, strict=True):
        other[lane.columns] |= _bits(was) != _bits(values)
    return np.flatnonzero(other)


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    return values.view(f"u{values.itemsize}") if values.dtype.kind == "f" else values


def _nobody() -> None:
    """Tell nobody."""
