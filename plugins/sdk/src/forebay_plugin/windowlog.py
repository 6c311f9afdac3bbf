"""What a plugin knew before each of its last windows, in a log in its state directory.

Owns that log. After a crash of the gateway, windows come again whose results were not on disk:
those of the last seconds, and in a catch-up that may be thousands. A plugin that keeps state works
on them again from what it knew before them, and gives the same. What is known is a text here; what
it means is the plugin's.

A log is a row of chunks: length (8 bytes, little-endian), CRC-32 (4 bytes), JSON under zlib. One
that is full becomes the older one of two.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERSION = 1
WINDOWS, HISTORY_BYTES = 2048, 8 << 20
"""So far back it is known what was known before a window: so many windows, or so many bytes."""
LOG_BYTES = 4 << 20
"""Of one log; there are two."""
_HEAD = 12
_log = logging.getLogger(__name__)

Before = tuple[int, int, str]
"""One window, and what was known before it: begin_ns, end_ns, text."""


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


class WindowLog:
    """The two logs. `None` for a directory keeps nothing, as in a replay."""

    def __init__(self, directory: Path | None) -> None:
        self._new = directory / "known" if directory else None
        self._old = directory / "known-older" if directory else None
        self.damaged = False
        """Whether `load` found a log that is not whole."""

    def load(self) -> tuple[str, History]:
        """Give what was known last, empty if nothing was, and before.

        Reads up to the first chunk that is not whole.
        """
        known, history = "", History()
        for path in (self._old, self._new):
            for held in self._chunks(path) if path else ():
                for begin, end, text in held["before"]:
                    history.add((begin, end, text))
                known = held["known"]
        return known, history

    def append(self, before: Sequence[Before], known: str, *, now: bool) -> None:
        """Keep what was known before some windows and behind them.

        `now` waits until the disk has it. Without it the kernel writes in its own time: a killed
        process loses nothing, a power cut some seconds. So say `now` when something was told that
        must not be told again.
        """
        if self._new is None or self._old is None:
            return
        held = {"v": VERSION, "known": known, "before": before}
        packed = zlib.compress(json.dumps(held).encode(), 1)
        head = len(packed).to_bytes(8, "little") + zlib.crc32(packed).to_bytes(4, "little")
        if self._new.exists() and self._new.stat().st_size > LOG_BYTES:
            self._new.replace(self._old)
        with self._new.open("ab") as file:
            file.write(head + packed)
            if now:
                file.flush()
                os.fsync(file.fileno())

    def _chunks(self, path: Path) -> Iterator[dict[str, Any]]:
        """Give the whole chunks of a log, and cut off behind them what a kill tore."""
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
                self.damaged = True
                os.truncate(path, at)
                return
            held: dict[str, Any] = json.loads(zlib.decompress(packed))
            if held.get("v") == VERSION:
                yield held
            at += _HEAD + size
