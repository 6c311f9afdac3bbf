"""What the rules know between windows, kept in the plugin's state directory.

Owns the log that holds it: for each work what was known before each of its windows, and behind the
last. So a window that comes again after a crash is told from a new one: it is judged again from
what was known before it, and gives the same.

A log is a row of chunks: length (8 bytes, little-endian), CRC-32 (4 bytes), JSON under zlib. One
that is full becomes the older one of two.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forebay_rules.alarms import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from forebay_rules.rows import Last

VERSION = 1
WINDOWS, HISTORY_BYTES = 2048, 8 << 20
"""So far back it is known what was known before a window: so many windows, or so many bytes."""
LOG_BYTES = 4 << 20
"""Of one log; there are two."""
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


class History:
    """What was known before the last windows, in their order, within the limits above."""

    def __init__(self) -> None:
        self._held: deque[Before] = deque(maxlen=WINDOWS)
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, entry: Before) -> None:
        """Put one behind all others; those that end as late or later came before time went back."""
        while self._held and self._held[-1][1] >= entry[1]:
            self._bytes -= len(self._held.pop()[2])
        if len(self._held) == WINDOWS:
            self._bytes -= len(self._held.popleft()[2])
        self._held.append(entry)
        self._bytes += len(entry[2])
        while self._bytes > HISTORY_BYTES:
            self._bytes -= len(self._held.popleft()[2])

    def before(self, begin_ns: int, end_ns: int) -> str | None:
        """What was known before this window; None if that is not known."""
        for begin, end, text in reversed(self._held):
            if end < end_ns:
                break
            if (begin, end) == (begin_ns, end_ns):
                return text
        return None


class Store:
    """The two logs. `None` for a directory keeps nothing, as in a replay."""

    def __init__(self, directory: Path | None) -> None:
        self._new = directory / "known" if directory else None
        self._old = directory / "known-older" if directory else None

    def load(self) -> tuple[Known, History]:
        """Give what the logs hold up to the first chunk that is not whole."""
        known, history = Known(), History()
        for path in (self._old, self._new):
            for held in _chunks(path) if path else ():
                for begin, end, text in held["before"]:
                    history.add((begin, end, text))
                known = Known.from_json(held["known"])
        return known, history

    def append(self, before: Sequence[Before], known: Known, *, now: bool) -> None:
        """Keep what was known before some windows and behind them.

        `now` waits until the disk has it. Without it the kernel writes in its own time: a killed
        process loses nothing, a power cut some seconds, in which no alarm changed.
        """
        if self._new is None or self._old is None:
            return
        held = {"v": VERSION, "known": known.to_json(), "before": before}
        packed = zlib.compress(json.dumps(held).encode(), 1)
        head = len(packed).to_bytes(8, "little") + zlib.crc32(packed).to_bytes(4, "little")
        if self._new.exists() and self._new.stat().st_size > LOG_BYTES:
            self._new.replace(self._old)
        with self._new.open("ab") as file:
            file.write(head + packed)
            if now:
                file.flush()
                os.fsync(file.fileno())


def _chunks(path: Path) -> Iterator[dict[str, Any]]:
    """Give the whole chunks of a log, and cut off what is behind them: a write that a kill tore."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        packed = data[at + _HEAD : at + _HEAD + size]
        if len(packed) < size or zlib.crc32(packed) != int.from_bytes(
            data[at + 8 : at + _HEAD], "little"
        ):
            _log.warning("%s is not whole: what is behind byte %d is forgotten", path.name, at)
            os.truncate(path, at)
            return
        held: dict[str, Any] = json.loads(zlib.decompress(packed))
        if held.get("v") == VERSION:
            yield held
        at += _HEAD + size
