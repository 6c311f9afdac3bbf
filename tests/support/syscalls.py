"""What a real process asks of the disk, in order, and which promise of the seam it breaks.

`tracing` gives the words that start a process under strace(1); `Trace` reads what that wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

WRITES = ("write", "pwrite64", "pwritev", "pwritev2", "ftruncate")
FLUSHES = ("fsync", "fdatasync")
NAMES = ("rename", "renameat", "renameat2", "unlink", "unlinkat")
_LINE = re.compile(r"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)")
_FILE = re.compile(r"\d+<([^>]*)>")
_QUOTED = re.compile(r'"([^"]*)"')
_FAILED = re.compile(r"= -1 ")
STDOUT = re.compile(r"1<")


class Call(NamedTuple):
    """One call that succeeded, or its first or last half if another thread's came between.

    `paths` are those of its descriptor, or those that it names.
    """

    thread: int
    name: str
    paths: tuple[str, ...]
    begins: bool
    ends: bool
    tells: bool


def tracing(strace: Path, log: Path) -> list[str]:
    """Give the words before a command that have its writes, flushes and names written to `log`."""
    calls = ",".join((*WRITES, *FLUSHES, *NAMES))
    return [str(strace), "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={calls}"]


@dataclass
class Trace:
    """The calls of a process; a line that it writes on its standard output tells of durability."""

    calls: list[Call]

    @classmethod
    def read(cls, log: Path) -> Trace:
        """Read what strace wrote."""
        calls: list[Call] = []
        halves: dict[int, tuple[str, ...]] = {}
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            found = _LINE.match(line)
            if found is None or _FAILED.search(line):
                continue
            thread, name, rest = int(found[1]), found[2] or found[3], found[4]
            named = _QUOTED.findall(rest) if name in NAMES else _FILE.findall(rest)[:1]
            paths = tuple(named) if found[2] else halves.pop(thread, ())
            ends = not rest.endswith("<unfinished ...>")
            if not ends:
                halves[thread] = paths
            tells = name == "write" and STDOUT.match(rest) is not None
            calls.append(Call(thread, name, paths, bool(found[2]), ends, tells))
        return cls(calls)

    def named(self, *names: str) -> list[Call]:
        """Give the calls of these names."""
        return [call for call in self.calls if call.name in names]

    def told_too_early(self, suffix: str) -> list[str]:
        """Give each file of this suffix that had bytes without a flush while something was told.

        A flush counts for what was written before it began. Only for as long as no file is removed:
        removing them, a process may write of its own accord while it tells.
        """
        broken, dirty = [], _Dirty()
        for call in self.calls:
            if call.name.startswith("unlink"):
                break
            dirty.see(call)
            if call.tells:
                broken += [path for path in sorted(dirty.paths) if path.endswith(suffix)]
        return broken

    def renamed_too_early(self) -> list[str]:
        """Give each file that got its name while bytes of it had no flush."""
        broken, dirty = [], _Dirty()
        for call in self.calls:
            if call.name.startswith("rename") and call.begins and call.paths[0] in dirty.paths:
                broken.append(call.paths[0])
            dirty.see(call)
        return broken

    def names_without_flush(self) -> list[str]:
        """Give each path whose name came or went and whose directory the thread did not flush.

        The flush must be the next call of the same thread.
        """
        broken: list[str] = []
        waiting: dict[int, str] = {}
        for call in self.calls:
            path = waiting.pop(call.thread, None)
            if path is not None:
                flushed = call.name == "fsync" and call.paths == (path.rpartition("/")[0],)
                broken += [] if flushed else [path]
            if call.name in NAMES and call.ends:
                waiting[call.thread] = call.paths[-1]
        return [*broken, *waiting.values()]


class _Dirty:
    """The files that have bytes which no flush has taken yet."""

    def __init__(self) -> None:
        self.paths: dict[str, int] = {}
        self._number = 0
        self._flushing: dict[int, int] = {}

    def see(self, call: Call) -> None:
        self._number += 1
        if call.name in WRITES and not call.tells:
            self.paths[call.paths[0]] = self._number
        elif call.name in FLUSHES:
            if call.begins:
                self._flushing[call.thread] = self._number
            if call.ends and self.paths.get(call.paths[0], 0) < self._flushing[call.thread]:
                self.paths.pop(call.paths[0], None)
