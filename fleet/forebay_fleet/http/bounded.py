"""HTTP/1.1 for strangers: a request's head has its size and its time, an answer is to be taken.

Owns these limits; the rest is uvicorn's. Without them a stranger could have this process keep a
head of any length, or hold every connection there may be with a head that never ends; and whoever
may ask for an export could hold the place of one by never reading it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

MOST_HEAD_BYTES = 64 << 10
"""Of address and headers of one request, those behind its body too."""
HEAD_S = 20.0
"""How long a head may take; behind an answer the time that a connection may rest comes to it."""
STALLED_S = 60.0
"""In so much time who is sent something is to take a part of it, however small."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What is too long gets 400, what is too slow an end."""

    _head_bytes = _unread_bytes = 0
    _heard = False
    _end: asyncio.TimerHandle | None = None
    _left_bytes = 0
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._expect(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop()
        self._stop_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Hear that what was sent waits here."""
        super().pause_writing()
        self._left_bytes = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(STALLED_S, self._look)

    def resume_writing(self) -> None:
        """Hear that most of it is taken."""
        self._stop_taking()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard = False
        super().data_received(data)
        # A header is told of when it has ended: until then the parser keeps it.
        self._unread_bytes = 0 if self._heard else self._unread_bytes + len(data)
        if self._unread_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head is too long.")

    def on_message_begin(self) -> None:
        """Hear of a request's first byte."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Hear of a part of an address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Hear of a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hear of the end of a head."""
        self._heard = True
        self._stop()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hear of a part of a body."""
        self._heard = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Expect the next request, if it is not there already."""
        if not self.pipeline:
            self._expect(self.timeout_keep_alive + HEAD_S)
        super().on_response_complete()

    def _count(self, size: int) -> None:
        self._heard = True
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            raise ValueError  # of a callback: the parser makes 400 of it

    def _expect(self, within_s: float) -> None:
        self._stop()
        self._end = self.loop.call_later(within_s, self.transport.abort)

    def _stop(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _look(self) -> None:
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes >= self._left_bytes:
            self.transport.abort()
            return
        self._left_bytes = left_bytes
        self._taking = self.loop.call_later(STALLED_S, self._look)

    def _stop_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
