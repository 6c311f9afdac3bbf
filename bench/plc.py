"""The Modbus server that benchmarks read from: libmodbus, in C, in a process of its own.

Owns compiling and running tests/testbeds/libmodbus_server.c.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests/testbeds/libmodbus_server.c"
BINARY = ROOT / ".cache/bench/libmodbus_server"


def compiled() -> Path:
    """Give the server's binary, compiled if the source is newer; needs gcc and libmodbus-dev."""
    if not BINARY.exists() or BINARY.stat().st_mtime < SOURCE.stat().st_mtime:
        BINARY.parent.mkdir(parents=True, exist_ok=True)
        asked = ["pkg-config", "--cflags", "--libs", "libmodbus"]
        flags = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
        subprocess.run(["gcc", "-O2", "-o", BINARY, SOURCE, *flags], check=True)
    return BINARY


@contextmanager
def libmodbus_server(registers: int, *mode: str) -> Iterator[int]:
    """Run the server with this many registers in each area; gives its port.

    With the mode `walk` every value changes from scan to scan.
    """
    command = [str(compiled()), "0", str(registers), *mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().removeprefix("ready "))
        finally:
            process.stdin.close()
            process.wait(timeout=10)
