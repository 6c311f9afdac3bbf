"""The screen of `forebay top` in a browser on this machine, by textual-serve.

Owns where it listens and whom it answers. Must not know the screen: each visit runs the command.
textual-serve knows no sign-in: whoever reaches the port sees the screen, and so it only looks.
"""

from __future__ import annotations

import shlex
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import web
from textual_serve.server import Server

from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.typedefs import Handler

POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the page may load: its own parts. Its template also names a font of another site."""


def serve(socket: Path, every_s: float, listen: str, *, anywhere: bool) -> None:
    """Serve until interrupted. RequestInvalid for an address that is not of loopback."""
    host, port = parse(listen, anywhere=anywhere)
    words = [sys.executable, "-m", "forebay.cli", "top", "--look", "--every", f"{every_s:g}"]
    LocalServer(shlex.join([*words, "--socket", str(socket)]), host, port).serve()


def parse(listen: str, *, anywhere: bool) -> tuple[str, int]:
    """Give IP and port. RequestInvalid."""
    host, _, port = listen.rpartition(":")
    try:
        address, number = ip_address(host.strip("[]")), int(port)
    except ValueError as error:
        raise RequestInvalid(
            f"{listen!r} is no IP:PORT", hint="write 127.0.0.1:8023, or [::1]:8023"
        ) from error
    if not 0 < number < 65_536:
        raise RequestInvalid(f"there is no port {number}", hint="take one of 1 to 65535")
    if not (address.is_loopback or anywhere):
        raise RequestInvalid(
            f"{address} can be reached by others, and nobody has to sign in",
            hint=f"`ssh -L {number}:127.0.0.1:{number} BOX` brings it to you; or add --anywhere",
        )
    if address.is_unspecified:
        raise RequestInvalid(
            f"{address} is no address that a browser calls", hint="write the one of this box"
        )
    return str(address), number


class LocalServer(Server):
    """Answers only who calls it by the address that it listens on, and its own page."""

    def __init__(self, command: str, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        super().__init__(
            command, host, port, title="forebay top", public_url=f"http://{shown}:{port}"
        )
        self._name = f"{shown}:{port}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guarded)
        app.on_response_prepare.append(_strict)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse names that lead here by another's DNS, and pages of other sites."""
        if request.host != self._name:
            raise web.HTTPMisdirectedRequest(text=f"the page is at {self.public_url}\n")
        if request.path == "/ws" and request.headers.get("Origin") != self.public_url:
            raise web.HTTPForbidden(text="only its own page may do that\n")
        if request.path == "/favicon.ico":
            return web.Response(status=204)
        return await handler(request)

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is."""
        del app
        print(f"forebay top: {self.public_url}  (Ctrl-C ends it)", flush=True)


async def _strict(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
