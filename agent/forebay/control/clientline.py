"""A client's connection, in the clear or by TLS.

Owns TLS's handshake and records. Must not know what is said. It is not `StreamWriter.start_tls`: a
client's first bytes come with its connection, and those that uvloop has read by then are lost to
it. Nor TLS from the listener on: what has not ended its handshake is not counted there.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")

_READ_BYTES = 4 << 10


class ClientLine:
    """Of one client: `open`, then `read` and `write`, then `close`.

    Every method raises OSError (ssl.SSLError is one) if the client has gone or speaks something
    else; how long it may take is up to who calls.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        shown: ssl.SSLContext | None,
    ) -> None:
        """Speak by TLS with what is `shown`, None for in the clear."""
        self._reader, self._writer = reader, writer
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if shown is not None:
            self._tls = shown.wrap_bio(self._came, self._goes, server_side=True)

    async def open(self) -> None:
        """Shake hands."""
        if self._tls is not None:
            await self._through(self._tls.do_handshake)

    async def read(self) -> bytes:
        """Wait for what comes next; empty at the end."""
        tls = self._tls
        if tls is None:
            return await self._reader.read(_READ_BYTES)
        try:
            return await self._through(lambda: tls.read(_READ_BYTES))
        except ssl.SSLZeroReturnError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send it."""
        tls = self._tls
        if tls is None:
            self._writer.write(data)
            await self._writer.drain()
        elif data:
            await self._through(lambda: tls.write(data))

    async def close(self) -> None:
        """Say goodbye, without waiting for the client's own."""
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            await self._flush()
        self._writer.close()
        await self._writer.wait_closed()

    async def _through(self, step: Callable[[], T]) -> T:
        """Do a step of TLS; before each time that it wants more, what it says goes out."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
            else:
                await self._flush()
                return done
            if came := await self._reader.read(_READ_BYTES):
                self._came.write(came)
            else:
                self._came.write_eof()

    async def _flush(self) -> None:
        if goes := self._goes.read():
            self._writer.write(goes)
            await self._writer.drain()
