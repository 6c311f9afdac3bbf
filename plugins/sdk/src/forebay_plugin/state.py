"""State between windows, for a plugin that must give the same again when windows come again.

Owns two files in `Setup.state_directory`, written in turn so that one is always whole, and what was
known before each of the last windows. After a crash of the gateway, windows come again whose
results were not on disk: they are worked on again from what was known before them.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forebay_plugin.plugin import Setup
    from forebay_plugin.window import Window

VERSION = 1
BYTES_MAX = 64 * 1024 * 1024
WINDOWS = 64
"""So many windows back it is known what was before a window; so many come again at the most."""
_HEAD = 12
_log = logging.getLogger(__name__)


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
        self._paths = [directory / f"known-{turn}" for turn in "ab"] if directory else []
        self.value: dict[str, Any] = {}
        self.found = self.damaged = False
        self._count = self._end_ns = self._returned = 0
        self._before: list[tuple[int, int, str]] = []
        self._load()

    @classmethod
    def of(cls, setup: Setup) -> Keeper:
        """The keeper of a plugin; in a replay it neither reads nor writes."""
        return cls(None if setup.replay else Path(setup.state_directory))

    def place(self, window: Window) -> Place:
        """Say how `window` lies, and note what is known before it. Call it first for each."""
        found = self._placed(window)
        if found is Place.OLD:
            return found
        self._before.append((window.begin_ns, window.end_ns, json.dumps(self.value)))
        del self._before[:-WINDOWS]
        self._end_ns = window.end_ns if found is Place.BACK else max(self._end_ns, window.end_ns)
        return found

    def _placed(self, window: Window) -> Place:
        if window.end_ns > self._end_ns:
            self._returned = 0
            return Place.NEW
        for index, (begin, end, text) in enumerate(self._before):
            if (begin, end) == (window.begin_ns, window.end_ns):
                self.value = json.loads(text)
                del self._before[index:]
                self._end_ns = self._before[-1][1] if self._before else 0
                return Place.AGAIN
        self._returned += 1
        if self._returned <= WINDOWS:
            return Place.OLD
        self._returned = 0
        self._before.clear()
        return Place.BACK

    def save(self, *, now: bool) -> None:
        """Write what is known over the older file; `now` waits until the disk has it.

        Without it the kernel writes in its own time: a killed process loses nothing, a power cut
        some seconds.
        """
        if not self._paths:
            return
        self._count += 1
        held = {
            "v": VERSION,
            "count": self._count,
            "end_ns": self._end_ns,
            "value": self.value,
            "before": self._before,
        }
        packed = zlib.compress(json.dumps(held).encode(), 1)
        head = len(packed).to_bytes(8, "little") + zlib.crc32(packed).to_bytes(4, "little")
        path = self._paths[self._count % 2]
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.write(head + packed)
            file.truncate()
            if now:
                file.flush()
                os.fsync(file.fileno())

    def _load(self) -> None:
        whole = []
        for path in self._paths:
            if path.exists():
                held = _read(path)
                if held is None:
                    self.damaged = True
                    _log.warning("%s is not whole, or of another version", path.name)
                else:
                    whole.append(held)
        if not whole:
            return
        newest = max(whole, key=lambda held: held["count"])
        self.found = True
        self._count, self._end_ns, self.value = newest["count"], newest["end_ns"], newest["value"]
        self._before = [(begin, end, text) for begin, end, text in newest["before"]]


def _read(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        data = file.read(BYTES_MAX)
    packed = data[_HEAD : _HEAD + int.from_bytes(data[:8], "little")]
    if not packed or zlib.crc32(packed) != int.from_bytes(data[8:_HEAD], "little"):
        return None
    held: dict[str, Any] = json.loads(zlib.decompress(packed))
    return held if held.get("v") == VERSION else None
