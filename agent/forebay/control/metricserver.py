"""Answers `GET /metrics`, for Prometheus or what collects for it.

Owns the listener, who may ask, and what one request may cost. HTTP is h11's. Must not know what is
told. A listener that cannot be opened stops nothing: it is tried again, and `trouble` says so.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import ssl
from typing import TYPE_CHECKING, NamedTuple

import h11

from forebay.cancellation import end
from forebay.control.clientline import ClientLine
from forebay.control.pausing import pause
from forebay.errors import ForebayError
from forebay.events import METRICS_UNSERVED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forebay.config.metrics import MetricsSettings
    from forebay.interfaces import Seams

    Tell = Callable[[str], Awaitable[tuple[bytes, str]]]

PATH = b"/metrics"
CONNECTIONS = 8
"""Open at once; one more is closed as it comes."""
REQUEST_BYTES = 16 << 10
WITHIN_S = 10.0
"""How long a client may take for a request and its reply."""
AGAIN_S = 10.0
_OF_THE_PORT = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}
"""Until an address that could not be listened at is tried again."""
TOKEN_LEAST = 16
_PLAIN = "text/plain; charset=utf-8"


class _Reply(NamedTuple):
    status: int
    body: bytes
    content_type: str = _PLAIN
    more: tuple[tuple[str, str], ...] = ()


class MetricsServer:
    """Of one agent. `run` until cancelled; `follow` when the configuration changes.

    `tell` is called once a request with the client's Accept, one call at a time, and gives the text
    and its content type.
    """

    def __init__(self, tell: Tell, settings: MetricsSettings, seams: Seams) -> None:
        """Answer as `settings` say, whose paths are absolute; nothing listens before `run`."""
        self._tell, self._settings, self._seams = tell, settings, seams
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self._open: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._token = b""
        self.trouble = ""
        """Why nobody is answered who should be, for a person; empty if all is well."""

    def follow(self, settings: MetricsSettings) -> None:
        """Answer as another configuration says."""
        self._settings = settings
        self._news.set()

    async def run(self) -> None:
        """Listen while the configuration says so."""
        while True:
            self._news.clear()
            tried = self._settings
            try:
                await self._listen(tried)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                await self._tell_trouble(tried, error)

    async def _listen(self, settings: MetricsSettings) -> None:
        """Answer until there is other `settings`. OSError, or ValueError: that cannot be."""
        if not settings.enabled:
            self.trouble = ""
            await self._news.wait()
            return
        self._tls, self._token = await asyncio.to_thread(_read, settings)
        where = (settings.listen, settings.port)
        server = await asyncio.start_server(self._connected, *where, limit=REQUEST_BYTES)
        self.trouble = ""
        try:
            await self._news.wait()
        finally:
            server.close()
            await end(self._open)

    async def _tell_trouble(self, settings: MetricsSettings, error: Exception) -> None:
        """Say why nobody is answered, once, and wait until it is to be tried again."""
        where = f"{settings.listen}:{settings.port}"
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        taken = isinstance(error, OSError) and error.errno in _OF_THE_PORT
        hint = "free that port, or write another one" if taken else "look at the files it names"
        trouble = f"cannot answer at {where}: {why} ([metrics]: {hint})"
        if trouble != self.trouble:
            self._seams.events.emit(METRICS_UNSERVED, address=where, error=why, hint=hint)
        self.trouble = trouble
        await pause(self._news, self._seams.clock, AGAIN_S)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer in a task of our own: asyncio's complains when it is cancelled."""
        if len(self._open) >= CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="metrics.client")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close."""
        closed = False
        try:
            async with asyncio.timeout(WITHIN_S):
                line = ClientLine(reader, writer, self._tls)
                await line.open()
                await self._answer(line)
                await line.close()
                closed = True
        except (OSError, TimeoutError, h11.ProtocolError):
            pass  # the client's own loss: it asks again
        finally:
            if not closed:
                writer.transport.abort()

    async def _answer(self, line: ClientLine) -> None:
        wire = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES)
        request: h11.Request | None = None
        try:
            while request is None:
                event = wire.next_event()
                if event is h11.NEED_DATA:
                    wire.receive_data(await line.read())
                elif isinstance(event, h11.Request):
                    request = event
                else:  # the client has gone
                    return
            reply = await self._reply(request)
        except h11.RemoteProtocolError as error:
            reply = _Reply(error.error_status_hint, b"that is no request that can be answered\n")
        head = (
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
            *reply.more,
        )
        for part in (
            h11.Response(status_code=reply.status, headers=list(head)),
            h11.Data(data=reply.body),
            h11.EndOfMessage(),
        ):
            await line.write(wire.send(part) or b"")

    async def _reply(self, request: h11.Request) -> _Reply:
        fields = dict(request.headers)
        if self._token and not _has(fields.get(b"authorization", b""), self._token):
            return _Reply(401, b"bring the token of [metrics]\n", more=_BEARER)
        if request.target.partition(b"?")[0] != PATH:
            return _Reply(404, b"the metrics are at /metrics\n")
        if request.method != b"GET":
            return _Reply(405, b"only GET is answered\n", more=(("Allow", "GET"),))
        accept = fields.get(b"accept", b"").decode("latin-1")
        try:
            async with self._turn:
                return _Reply(200, *await self._tell(accept))
        except ForebayError as error:
            return _Reply(503, f"{error}\n".encode())


_BEARER = (("WWW-Authenticate", "Bearer"),)


def _has(authorization: bytes, token: bytes) -> bool:
    kind, _, brought = authorization.partition(b" ")
    return kind.lower() == b"bearer" and hmac.compare_digest(brought.strip(), token)


def _read(settings: MetricsSettings) -> tuple[ssl.SSLContext | None, bytes]:
    """Give what is shown to clients, None for no TLS, and what they bring. Blocks.

    OSError if a file cannot be read or does not fit; ValueError for a token that is too short.
    """
    token, shown = b"", None
    if settings.token is not None:
        token = settings.token.read_bytes().strip()
        if len(token) < TOKEN_LEAST or b"\n" in token:
            msg = f"{settings.token} is not one line of {TOKEN_LEAST} characters and more"
            raise ValueError(msg)
    if settings.certificate is not None:
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.minimum_version = ssl.TLSVersion.TLSv1_2
        # With a password OpenSSL asks nobody at a terminal for that of an encrypted key.
        shown.load_cert_chain(settings.certificate, settings.key, password="")
    return shown, token
