"""The HTTP port: one uvicorn in the server's loop, TLS with the server's own certificate.

Owns listening and the certificates in use. Must not know what is served (`app`). Imported only
where there is such a port: it needs the extra `web`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvicorn

from forebay_fleet.desired import commands, connections, states, witness
from forebay_fleet.errors import CertificateError, UsageError
from forebay_fleet.http.app import build
from forebay_fleet.http.bounded import BoundedProtocol
from forebay_fleet.listening import place
from forebay_fleet.rollouts import labels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AsyncExitStack

    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry
    from forebay_fleet.tls import Credentials

STOP_GRACE_S = 2
MOST_CONNECTIONS = 2048
LOOK_S = 30.0
"""How often the certificate's files are looked at."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the page is: `listen` is IP:PORT; without `credentials` only on this machine."""

    listen: str
    credentials: Credentials | None
    oidc: Path | None = None


async def open_site(stack: AsyncExitStack, settings: WebSettings, context: Context) -> int:
    """Serve the page and REST until the stack unwinds; give the port.

    Raises:
        UsageError: an address that cannot be listened on.
        CertificateError: certificate files that cannot be used.
    """
    host, port = _place(settings)
    await context.registry(_prepare)
    config = uvicorn.Config(
        build(context, settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=1 << 20,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    config.load()
    tls = None
    if settings.credentials is not None:
        tls = config.ssl = _tls(settings.credentials)
    server = _Server(config)
    bound = _bound(settings.listen, host, port)
    serving = asyncio.create_task(server.serve([bound]), name="http.serve")
    stack.push_async_callback(_stop, server, serving)
    while not server.started:
        if serving.done():
            raise UsageError(f"cannot listen on {settings.listen}", hint="see the log")
        await asyncio.sleep(0.01)
    found = int(bound.getsockname()[1])
    if tls is not None and settings.credentials is not None:
        following = asyncio.create_task(_follow(tls, settings.credentials), name="http.follow")
        stack.callback(following.cancel)
    _log.info("site_open", port=found, tls=settings.credentials is not None)
    return found


def _prepare(registry: Registry) -> None:
    """See that all tables are there that pages read, whatever else this server does."""
    for part in (states, commands, connections, witness, labels):
        part.prepare(registry)


class _Server(uvicorn.Server):
    """Without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def _stop(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    try:
        await asyncio.wait_for(serving, STOP_GRACE_S + 3)
    except (TimeoutError, SystemExit):
        _log.warning("site_stopped_late")


def _bound(listen: str, host: str, port: int) -> socket.socket:
    """Give a socket that has its port; UsageError where it cannot be had."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise UsageError(
            f"cannot listen on {listen}: {error.strerror}", hint="is the port in use?"
        ) from None
    return bound


def _place(settings: WebSettings) -> tuple[str, int]:
    host, number, loopback = place(settings.listen)
    if settings.credentials is None and not loopback:
        raise UsageError(
            f"a page without TLS on {host} is refused", hint="use certificates, or 127.0.0.1"
        )
    return host, number


def _tls(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, credentials)
    return context


def _load(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Put the files of now into a context; those who come later get them."""
    key, chain, _ = credentials.read()
    try:  # the library takes files only
        with tempfile.TemporaryDirectory(prefix="forebay-") as folder:
            path = Path(folder) / "chain.pem"
            path.touch(mode=0o600)
            path.write_bytes(key.rstrip() + b"\n" + chain)
            context.load_cert_chain(path)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(
            f"the page cannot use the certificate: {error}", hint="forebay-fleet ca issue"
        ) from error


async def _follow(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Take a renewed certificate into use, until cancelled."""
    seen = credentials.read()
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            now = credentials.read()
            if now != seen:
                _load(context, credentials)
                seen = now
                _log.info("site_certificate_renewed")
        except CertificateError as error:
            _log.warning("certificates_unusable", error=str(error), hint=error.hint)
