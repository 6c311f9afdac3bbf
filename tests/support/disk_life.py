"""A process that makes a few things durable and says so, for a test to watch its system calls.

Run as `python -m support.disk_life DIRECTORY atomic|store`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from forebay.files import SystemDisk
from support.fleet import anchor
from support.fleet_ingest import Server

TIMES = 3


def atomic(directory: Path) -> None:
    """Replace a small file in a directory that is new."""
    disk = SystemDisk()
    disk.makedirs(directory / "one/two")
    for number in range(TIMES):
        disk.write_atomic(directory / "one/two/state.json", b"%d" % number)
        tell()


def store(directory: Path) -> None:
    """Commit records as the fleet server does, an ack each."""
    directory.mkdir()
    server = Server(directory)
    server.hello()
    for number in range(TIMES):
        assert server.send(anchor(number + 1)).committed.committed_seq == number + 1
        tell()
    server.store.close()


def tell() -> None:
    """Say that it is durable."""
    sys.stdout.write("durable\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"atomic": atomic, "store": store}[sys.argv[2]](Path(sys.argv[1]))
