"""Who may use a journal directory: one process at a time, and of one gateway for good.

Owns `lock` and `owner`, the file that names the gateway. Positions mean something only together
with that name, so what another gateway wrote must not be delivered under ours. Without the file, or
with a damaged one, nobody can say whose it is: it is ours then. Must not know what a journal holds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forebay.errors import JournalForeign, JournalLocked
from forebay.files import no_space
from forebay.journal.record import crc32c

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.files import Disk, DiskFile

LOCK = "lock"
NAME = "owner"
OWNER_BYTES_MAX = 1024
_FORMAT = 1


def take(directory: Path, gateway: str, disk: Disk) -> DiskFile:
    """Make the directory if it is missing, and hold its lock for `gateway`; empty: for whomever.

    Blocks. Raises JournalLocked if another process holds it, JournalForeign if it is another
    gateway's, both with nothing changed; OSError if the disk refuses.
    """
    disk.makedirs(directory)
    lock = disk.lock(directory / LOCK)
    if lock is None:
        raise JournalLocked(
            f"another process holds the journal in {directory}",
            hint="stop the other agent, or give this one a directory of its own",
        )
    try:
        if gateway:
            _claim(directory, gateway, disk)
    except BaseException:
        lock.close()
        raise
    return lock


def _claim(directory: Path, gateway: str, disk: Disk) -> None:
    path = directory / NAME
    try:
        owner = decode(disk.read_bytes(path, OWNER_BYTES_MAX))
    except OSError:
        owner = None
    if owner is None:
        try:
            disk.write_atomic(path, encode(gateway))
        except OSError as error:  # the next start may have room for it
            if not no_space(error):
                raise
    elif owner != gateway:
        raise JournalForeign(
            f"the journal in {directory} is of gateway {owner!r}, and this one is {gateway!r}",
            hint=f"move the directory away, or set the id in [gateway] to {owner!r} again",
        )


def encode(gateway: str) -> bytes:
    """Give the file that names `gateway`."""
    text = {"format": _FORMAT, "crc32c": _check(gateway), "gateway": gateway}
    return (json.dumps(text, indent=2) + "\n").encode()


def decode(data: bytes) -> str | None:
    """Give the gateway that a file names; None if it is damaged."""
    try:
        text = json.loads(data)
        gateway = text["gateway"]
        whole = (text["format"], text["crc32c"]) == (_FORMAT, _check(gateway))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return gateway if whole and gateway else None


def _check(gateway: str) -> str:
    return f"{crc32c(gateway.encode()):08x}"
