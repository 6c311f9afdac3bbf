"""Values as a file that never is in memory as a whole.

Owns how many files are made at once. Must not know where values are. Needs pyarrow.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

from forebay_fleet.errors import StoreError
from forebay_fleet.values.exporting import piece
from forebay_fleet.values.parts import begun
from forebay_fleet.values.writing import writer_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import pyarrow as pa

    from forebay_fleet.values.asking import Export
    from forebay_fleet.values.reading import Readers
    from forebay_fleet.values.writing import Writer

MOST_AT_ONCE = 4


class _Drain(io.RawIOBase):
    """Where a writer writes to: what it wrote is taken away after each piece."""

    def __init__(self) -> None:
        super().__init__()
        self._data: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self._data.append(bytes(memoryview(data)))  # type: ignore[arg-type]
        self._written += len(self._data[-1])
        return len(self._data[-1])

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        found, self._data = b"".join(self._data), []
        return found


class Exports:
    """Of one server."""

    def __init__(self, readers: Readers) -> None:
        """Read by `readers`: one piece at a time of each file, so that others come between."""
        self._readers = readers
        self._running = 0

    async def open(
        self, export: Export, form: str, may: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[bytes]:
        """Give the parts of a file; the first one is made before this returns.

        An error behind the first part breaks the file off: its end is missing. So it is once `may`
        raises, which is asked before each.

        Raises:
            StoreError: too many files are made at once.
            UsageError, DecodingError: see `piece`.
        """
        if self._running >= MOST_AT_ONCE:
            raise StoreError(f"{MOST_AT_ONCE} exports run", hint="wait until one has ended")
        return await begun(self._parts(export, form, may))

    async def _parts(
        self, export: Export, form: str, may: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[bytes]:
        self._running += 1
        drain = _Drain()
        try:
            writer = await asyncio.to_thread(writer_of, drain, form)
            following: int | None = export.span_ns[0]
            while following is not None:
                await may()
                part, following = await self._part(writer, drain, export, following)
                yield part
            await asyncio.to_thread(writer.close)
            yield drain.taken()
        finally:
            self._running -= 1

    async def _part(
        self, writer: Writer, drain: _Drain, export: Export, first_ns: int
    ) -> tuple[bytes, int | None]:
        table, following = await self._readers(lambda store: piece(store, export, first_ns))
        return await asyncio.to_thread(_written, writer, drain, table), following


def _written(writer: Writer, drain: _Drain, table: pa.Table) -> bytes:
    if len(table):
        writer.write_table(table)
    return drain.taken()
