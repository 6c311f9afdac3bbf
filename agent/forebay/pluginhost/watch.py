"""Looks at the processes of one plugin from outside: which there are, and what they use.

Owns reading `/proc`. A plugin's limit on memory rests on it, and that on processes where the agent
is root and bubblewrap is missing. Must not know what is done about it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
MOST_FILES = 10_000
"""So many of a plugin's files are looked at."""
MOST_PROCESSES = 8192
"""No more of them are looked for."""
_STATUS_BYTES = 4096
_ENVIRON_BYTES = 65_536
_BLOCK_SHIFT = 9  # st_blocks counts 512 bytes (stat(2))


class Usage(NamedTuple):
    """What a tree of processes uses: memory that is its own or shared among it, and how many.

    Programs and libraries that are mapped from files are not counted; threads are.
    """

    memory_bytes: int
    tasks: int


class Stored(NamedTuple):
    """What lies on a disk: bytes that are taken there, and how many files and directories."""

    size_bytes: int
    files: int


def tree(root: int, most: int) -> list[int]:
    """Give process `root` and all below it, at most `most`; those that ended meanwhile are left."""
    found, at = [root], 0
    while at < len(found) < most:
        found.extend(_children(found[at])[: most - len(found)])
        at += 1
    return found


def usage(root: int, most: int) -> Usage:
    """Add up what `root` and all below it use; of more than `most` processes, that many."""
    memory = tasks = 0
    for process in tree(root, most):
        one = _of(process)
        memory += one.memory_bytes
        tasks += one.tasks
    return Usage(memory, tasks)


def stored(directory: Path, most_files: int) -> Stored:
    """Give what lies in `directory`, no more than `most_files` + 1 of it; links are not followed.

    Blocks on the disk. What cannot be read is left out.
    """
    size = files = 0
    left = [directory]
    while left and files <= most_files:
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                files += 1
                if files > most_files:
                    break
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks << _BLOCK_SHIFT
                    if entry.is_dir(follow_symlinks=False):
                        left.append(Path(entry.path))
    return Stored(size, files)


def nameless(root: int, most: int) -> int:
    """Give the bytes of files without a name that `root` and all below it hold open.

    They are in no directory, and no process's memory: memfd_create(2), or unlinked while open.
    """
    sizes: dict[tuple[int, int], int] = {}
    for process in tree(root, most):
        with suppress(OSError), os.scandir(PROC / str(process) / "fd") as entries:
            for entry in entries:
                with suppress(OSError):
                    status = os.stat(entry.path)  # noqa: PTH116 - what the link stands for
                    if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                        place = status.st_dev, status.st_ino
                        sizes[place] = status.st_blocks << _BLOCK_SHIFT
    return sum(sizes.values())


def lives(process: int) -> bool:
    """Whether there is such a process, and not only what is left for its parent to look at."""
    _, _, state = _read(PROC / str(process) / "stat", _STATUS_BYTES).rpartition(b") ")
    return state[:1] not in (b"", b"Z", b"X")


def marked(mark: str, most: int) -> list[int]:
    """Give the processes that have `mark` in their environment, wherever they went; at most `most`.

    A process that left its parent and its session is found by what it inherited.
    """
    wanted = os.fsencode(mark)
    found: list[int] = []
    for entry in os.scandir(PROC):
        if len(found) >= most:
            break
        if entry.name.isdigit() and wanted in _read(PROC / entry.name / "environ", _ENVIRON_BYTES):
            found.append(int(entry.name))
    return found


def _children(process: int) -> list[int]:
    """Give the processes that any thread of `process` started and that still have it as parent."""
    found: list[int] = []
    try:
        threads = list((PROC / str(process) / "task").iterdir())
    except OSError:
        return []
    for thread in threads:
        text = _read(thread / "children", _ENVIRON_BYTES)
        found.extend(int(word) for word in text.split())
    return found


def _of(process: int) -> Usage:
    memory = tasks = 0
    for line in _read(PROC / str(process) / "status", _STATUS_BYTES).splitlines():
        key, _, value = line.partition(b":")
        if key in (b"RssAnon", b"RssShmem"):
            memory += int(value.split()[0]) << 10
        elif key == b"Threads":
            tasks = int(value)
    return Usage(memory, tasks)


def _read(path: Path, limit: int) -> bytes:
    """Give the file's beginning; nothing if the process is gone or another user's."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError:
        return b""
