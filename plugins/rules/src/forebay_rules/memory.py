"""What the rules know between windows, kept in the plugin's state directory.

Owns the two files that hold it, written in turn so that one is always whole. What is kept tells a
window that comes again after a crash from a new one: it is judged again from what was known before
it, and gives the same.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forebay_rules.alarms import Memory

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_rules.rows import Last

VERSION = 1
BYTES_MAX = 64 * 1024 * 1024
WINDOWS = 64
"""So many windows back the state before a window is known; the host has fewer out at once."""
_HEAD = 12
_log = logging.getLogger(__name__)


@dataclass
class Known:
    """What is known behind the last window.

    Attributes:
        last_ns: the last row that was judged; 0 if none was.
        end_ns: end of the last window.
        tracks: DEVICE/TAG -> its last sample.
        slots: what `lasting`, `hysteresis` and the delays of alarms keep, by key.
        alarms: name -> what is known of it.
        given: name of an output of kind write -> the value given last.
    """

    last_ns: int = 0
    end_ns: int = 0
    tracks: dict[str, Last] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)
    alarms: dict[str, Memory] = field(default_factory=dict)
    given: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """All of it as text."""
        alarms = {name: memory.to_json() for name, memory in self.alarms.items()}
        return json.dumps({**self.__dict__, "alarms": alarms})

    @classmethod
    def from_json(cls, text: str) -> Known:
        """Undo `to_json`."""
        given = json.loads(text)
        given["alarms"] = {name: Memory.from_json(one) for name, one in given["alarms"].items()}
        given["tracks"] = {tag: (one[0], one[1], one[2]) for tag, one in given["tracks"].items()}
        return cls(**given)


Before = tuple[int, int, str]
"""One window, and what was known before it: begin_ns, end_ns, `Known` as JSON."""


class Store:
    """The two files. `None` for a directory keeps nothing, as in a replay."""

    def __init__(self, directory: Path | None) -> None:
        self._paths = [directory / f"known-{turn}" for turn in "ab"] if directory else []
        self._count = 0

    def load(self) -> tuple[Known, list[Before]]:
        """Give what the newer whole file holds; nothing if there is none."""
        found = [held for path in self._paths if (held := _read(path)) is not None]
        if not found:
            return Known(), []
        self._count = max(held["count"] for held in found)
        newest = next(held for held in found if held["count"] == self._count)
        before = [(begin, end, text) for begin, end, text in newest["before"]]
        return Known.from_json(newest["known"]), before

    def save(self, known: Known, before: list[Before], *, now: bool) -> None:
        """Write over the older file; `now` waits until the disk has it.

        Without it the kernel writes in its own time: a killed process loses nothing, a power cut
        some seconds, in which no alarm changed.
        """
        if not self._paths:
            return
        self._count += 1
        held = {"v": VERSION, "count": self._count, "known": known.to_json(), "before": before}
        packed = zlib.compress(json.dumps(held).encode(), 1)
        head = len(packed).to_bytes(8, "little") + zlib.crc32(packed).to_bytes(4, "little")
        with os.fdopen(
            os.open(self._paths[self._count % 2], os.O_RDWR | os.O_CREAT, 0o600), "r+b"
        ) as file:
            file.write(head + packed)
            file.truncate()
            if now:
                file.flush()
                os.fsync(file.fileno())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX)
    except FileNotFoundError:
        return None
    packed = data[_HEAD : _HEAD + int.from_bytes(data[:8], "little")]
    if not packed or zlib.crc32(packed) != int.from_bytes(data[8:_HEAD], "little"):
        _log.warning("%s is not whole: the older one is used", path.name)
        return None
    held: dict[str, Any] = json.loads(zlib.decompress(packed))
    if held.get("v") != VERSION:
        _log.warning("%s is of another version: what it held is forgotten", path.name)
        return None
    return held
