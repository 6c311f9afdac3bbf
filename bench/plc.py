"""The Modbus server that benchmarks read from, and a client to be measured against; both in C.

Owns compiling and running tests/testbeds/libmodbus_server.c, on libmodbus, and modbus_client.c, on
nothing. Each is a process of its own.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "tests/testbeds/libmodbus_server.c"
CLIENT = ROOT / "bench/modbus_client.c"


def compiled(source: Path, *libraries: str) -> Path:
    """Give the binary of `source`, compiled if that is newer; needs gcc and the -dev packages."""
    binary = ROOT / ".cache/bench" / source.stem
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        binary.parent.mkdir(parents=True, exist_ok=True)
        flags: list[str] = []
        if libraries:
            asked = ["pkg-config", "--cflags", "--libs", *libraries]
            flags = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
        subprocess.run(["gcc", "-O2", "-Wall", "-o", binary, source, *flags], check=True)
    return binary


@contextmanager
def libmodbus_server(registers: int, *mode: str) -> Iterator[int]:
    """Run the server with this many registers in each area; gives its port.

    With the mode `walk` every value changes from scan to scan.
    """
    command = [str(compiled(SERVER, "libmodbus")), "0", str(registers), *mode]
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


class RawClient:
    """The client in C, connected to the server at `port`; `with` starts and ends it."""

    def __init__(self, port: int, registers: int, quantity: int) -> None:
        self._command = [str(compiled(CLIENT)), str(port), str(registers), str(quantity)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)

    def cpu_us(self, depth: int, scans: int) -> float:
        """Poll all registers so often, with at most `depth` requests open.

        Gives the client's CPU microseconds per request.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{depth} {scans}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())
