"""State between windows, for a plugin that must give the same again when windows come again.

Owns one JSON object and how a window lies to those before it. After a crash of the gateway, windows
come again whose results were not on disk: they are worked on again from what was known before them.
`windowlog` keeps it all.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay_plugin.windowlog import WindowLog

if TYPE_CHECKING:
    from forebay_plugin.plugin import Setup
    from forebay_plugin.window import Window
    from forebay_plugin.windowlog import Before

OLD_MOST = 64
"""So many windows in a row may be older than all that is remembered; more: time has gone back."""


class Place(Enum):
    """How a window lies to those before it.

    `NEW`: behind all of them. `AGAIN`: it came before, and `Keeper.value` is what was known then.
    `OLD`: it came so long ago that this is forgotten. `BACK`: the data's time has gone back.
    """

    NEW = 1
    AGAIN = 2
    OLD = 3
    BACK = 4


class Keeper:
    """Keeps one JSON object over restarts: `value`.

    Attributes:
        value: what is known now. Change it as you like between `place` and `save`.
        found: whether a state was found at the start.
        damaged: whether there was one that could not be read, so that something is forgotten.
    """

    def __init__(self, directory: Path | None) -> None:
        self._log = WindowLog(directory)
        text, self._history = self._log.load()
        self.found, self.damaged = bool(text), self._log.damaged
        held: dict[str, Any] = json.loads(text) if text else {"end_ns": 0, "value": {}}
        self.value: dict[str, Any] = held["value"]
        self._end_ns: int = held["end_ns"]
        self._returned = 0
        self._new: list[Before] = []

    @classmethod
    def of(cls, setup: Setup) -> Keeper:
        """The keeper of a plugin; in a replay it neither reads nor writes."""
        return cls(None if setup.replay else Path(setup.state_directory))

    def place(self, window: Window) -> Place:
        """Say how `window` lies, and note what is known before it. Call it first for each."""
        found = self._placed(window)
        before = (window.begin_ns, window.end_ns, json.dumps(self.value))
        if found is not Place.OLD:
            self._end_ns = window.end_ns
            self._history.add(before)
            self._new.append(before)
        return found

    def _placed(self, window: Window) -> Place:
        if window.end_ns > self._end_ns:
            self._returned = 0
            return Place.NEW
        before = self._history.before(window.begin_ns, window.end_ns)
        if before is not None:
            self.value = json.loads(before)
            return Place.AGAIN
        self._returned += 1
        if self._returned <= OLD_MOST:
            return Place.OLD
        self._returned = 0
        return Place.BACK

    def save(self, *, now: bool) -> None:
        """Keep what is known; `now` waits until the disk has it.

        Without it the kernel writes in its own time: a killed process loses nothing, a power cut
        some seconds.
        """
        known = json.dumps({"end_ns": self._end_ns, "value": self.value})
        self._log.append(self._new, known, now=now)
        self._new = []
