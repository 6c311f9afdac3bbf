"""What a plugin prints: kept in a file that turns over and in memory, and never more than so much.

Owns that file and those limits. Must not know what the lines mean. A plugin that prints faster than
is read waits in its own write: nothing is stored up in between, and the agent reads at most
`READ_BYTES_PER_S`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.clock import Clock

KEPT_LINES = 1000
LINE_CHARACTERS = 2000
FILE_BYTES = 1 << 20
READ_BYTES_PER_S = 1 << 20
_PIECE_BYTES = 1 << 16


class PluginLog:
    """The log of one plugin instance, over all its processes."""

    def __init__(self, path: Path, lines_per_s: int, clock: Clock) -> None:
        """Keep at most `lines_per_s`, in the file at `path` and the one before it."""
        self._path, self._lines_per_s, self._clock = path, lines_per_s, clock
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._dropped = self._printed = 0
        self._second, self._in_second, self._untold = -1, 0, 0

    @property
    def dropped(self) -> int:
        """Lines that were read and not kept, since the agent started."""
        return self._dropped

    @property
    def printed(self) -> int:
        """Lines that were put in, since the agent started."""
        return self._printed

    def tail(self, lines: int) -> list[str]:
        """Give the last lines that are in memory, at most `lines`, the oldest first."""
        return list(self._lines)[-lines:] if lines > 0 else []

    async def drink(self, reader: asyncio.StreamReader, prefix: str) -> None:
        """Take over what `reader` gives until its end; each line gets the time and `prefix`."""
        rest = b""
        allowed, second = READ_BYTES_PER_S, int(self._clock.monotonic_s())
        while piece := await reader.read(_PIECE_BYTES):
            allowed -= len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > 4 * LINE_CHARACTERS:
                whole.append(rest)
                rest = b""
            await self._keep(whole, prefix)
            now = self._clock.monotonic_s()
            if allowed <= 0 and int(now) == second:
                await self._clock.sleep(second + 1 - now)
            if int(self._clock.monotonic_s()) != second:
                allowed, second = READ_BYTES_PER_S, int(self._clock.monotonic_s())
        if rest:
            await self._keep([rest], prefix)

    async def note(self, text: str) -> None:
        """Put in a line of the agent's own, which no limit holds back."""
        await self._put([f"{self._time()} forebay {text}"])

    async def _keep(self, lines: list[bytes], prefix: str) -> None:
        second = int(self._clock.monotonic_s())
        kept: list[str] = []
        if second != self._second:
            if self._untold:
                kept.append(f"{self._time()} forebay {self._untold} lines were not kept")
            self._second, self._in_second, self._untold = second, 0, 0
        room = self._lines_per_s - self._in_second
        taken, left = lines[:room], lines[room:]
        self._in_second += len(taken)
        self._untold += len(left)
        self._dropped += len(left)
        time = self._time()
        kept.extend(f"{time} {prefix} {_printable(line)}" for line in taken)
        if kept:
            await self._put(kept)

    async def _put(self, lines: list[str]) -> None:
        self._lines.extend(lines)
        self._printed += len(lines)
        await asyncio.to_thread(_append, self._path, lines)

    def _time(self) -> str:
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        return now.isoformat(timespec="milliseconds")


def _printable(line: bytes) -> str:
    """Give one line without control characters, which could rule the terminal of who reads it."""
    text = line[: 4 * LINE_CHARACTERS].decode(errors="replace").rstrip("\r")[:LINE_CHARACTERS]
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in text)


def _append(path: Path, lines: list[str]) -> None:
    """Append; a log that cannot be written is in memory all the same."""
    try:
        if path.exists() and path.stat().st_size > FILE_BYTES:
            path.replace(path.with_suffix(".1.log"))
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError:
        return
