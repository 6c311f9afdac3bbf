"""A serial line of pseudo-terminals: whatever one participant sends, all others hear.

Owns the wire between foreign slaves and our driver, and its faults: bytes held back, lost, added.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class SerialLine:
    """`ports` are the paths of its terminals; the first is the master's.

    `change` gets the index of who sent, and what; it gives what the others hear.
    """

    def __init__(self, participants: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = [os.openpty() for _ in range(participants)]
        self.ports = [os.ttyname(slave) for _, slave in self._ends]
        self.change: Callable[[int, bytes], bytes] = lambda _, data: data
        self.muted: set[int] = set()
        for number, (master, slave) in enumerate(self._ends):
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._loop.add_reader(master, self._pass_on, number)

    def close(self) -> None:
        """Take it down."""
        for master, slave in self._ends:
            self._loop.remove_reader(master)
            os.close(master)
            os.close(slave)
        self._ends = []

    def say(self, sender: int, data: bytes) -> None:
        """Let all but `sender` hear `data`."""
        for number, (master, _) in enumerate(self._ends):
            if number != sender and not (number == 0 and sender in self.muted):
                os.write(master, data)

    def _pass_on(self, sender: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._ends[sender][0], 4096)
            self.say(sender, self.change(sender, data))


@contextmanager
def serial_line(participants: int) -> Iterator[SerialLine]:
    line = SerialLine(participants)
    try:
        yield line
    finally:
        line.close()


@contextmanager
def libmodbus_unit(
    binary: Path, port: str, unit: int, *, baudrate: int = 19_200, parity: str = "N"
) -> Iterator[None]:
    """Run tests/testbeds/libmodbus_rtu_server.c as one unit with 1,000 registers."""
    with subprocess.Popen(
        [binary, port, str(baudrate), parity, str(unit), "1000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == "ready"
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=10)
