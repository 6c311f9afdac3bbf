"""The gate of the HTTP port: each request is somebody's, or goes to the sign-in page.

Owns cookies, `Authorization`, the check of origins and the headers that guard a browser. Must not
know pages or routes, but for those that strangers may ask for. A session is a cookie that no script
can read and no other site can send (`HttpOnly`, `SameSite=Strict`, RFC 6265bis); a program has a
token (`Authorization: Bearer`, RFC 6750).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse

from forebay_fleet.access import apitokens, sessions
from forebay_fleet.access.roles import Principal, Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from forebay_fleet.registry import RegistryThread

COOKIE = "forebay_session"
SECURE_COOKIE = "__Host-forebay_session"
"""Over TLS: a browser takes it for this host alone (RFC 6265bis, 4.1.3.2)."""
SIGN_IN = "/sign-in"
API = ("/api/", "/metrics")
"""Where programs ask: they are told 401, not sent to a page."""
STRANGERS = (SIGN_IN, "/preferences", "/static/", "/favicon.ico", "/healthz")
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    # NiceGUI's components are made of inline scripts and of `Function`.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline'"
    " 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " font-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none';"
    " form-action 'self'; base-uri 'self'",
}


class Denied(Exception):
    """Who asks may not: `status` 401 (nobody known) or 403."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        """Keep them."""
        super().__init__(message)
        self.status, self.hint = status, hint


def principal(request: HTTPConnection) -> Principal:
    """Give who asks. Raises Denied where a stranger came this far."""
    found = request.scope.get("forebay_principal")
    if not isinstance(found, Principal):
        raise Denied(401, "nobody is signed in", "sign in, or send a token")
    return found


def require(role: Role) -> Callable[[HTTPConnection], Principal]:
    """Give a dependency of FastAPI that lets nobody through who may not do what needs `role`."""

    def check(request: HTTPConnection) -> Principal:
        who = principal(request)
        if not who.may(role):
            raise Denied(403, f"this needs the role {role.word}", "ask an admin")
        return who

    return check


async def still(request: HTTPConnection, registry: RegistryThread) -> Principal | None:
    """Give whose an open page is, None if the session has ended. Looking on is no use of it."""
    return await _known(request, registry, used=False)


async def allowed(request: Request, registry: RegistryThread, role: Role) -> Principal:
    """Ask anew, at a click on a page that may be open for hours. Raises Denied."""
    found = await _known(request, registry)
    if found is None:
        raise Denied(401, "the session has ended", "sign in again")
    if not found.may(role):
        raise Denied(403, f"this needs the role {role.word}", "ask an admin")
    return found


def cookie_of(connection: HTTPConnection) -> str:
    """Give the secret that a request's cookie holds, "" for none."""
    name = SECURE_COOKIE if connection.url.scheme in {"https", "wss"} else COOKIE
    return connection.cookies.get(name, "")


def put_cookie(request: HTTPConnection, response: Any, secret: str) -> None:  # noqa: ANN401 - a Response
    """Have the browser keep a session's secret; "" takes it away."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        secret,
        max_age=int(sessions.LONGEST_S) if secret else 0,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


MOST_BODY_BYTES = 80 << 20
"""What one request may bring: a configuration at its largest, and its wrapping."""


class Gate:
    """ASGI middleware around everything of the port."""

    def __init__(self, app: ASGIApp, registry: RegistryThread) -> None:
        """Let known ones through to `app`."""
        self.app, self._registry = app, registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if not _same_origin(connection):
            await self._refuse(scope, receive, send, 403, "a request from another site")
            return
        who = await _known(connection, self._registry)
        if who is not None:
            scope["forebay_principal"] = who
        elif not scope["path"].startswith(STRANGERS):
            sent = connection.headers.get("authorization") is not None
            text = "this token is unknown, or over" if sent else "nobody is signed in"
            await self._refuse(scope, receive, send, 401, text)
            return
        await self.app(scope, _capped(receive), _guarded(send))

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, status: int, text: str
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": text})
            return
        guarded = _guarded(send)
        if status == 401 and not scope["path"].startswith(API) and scope["method"] == "GET":
            onward = quote(scope["path"][:500], safe="/")
            await RedirectResponse(f"{SIGN_IN}?next={onward}", 303)(scope, receive, guarded)
            return
        hint = "sign in, or send a token that is good: forebay-fleet api-token list"
        problem = {"title": text, "status": status, "hint": hint}
        response = JSONResponse(problem, status, media_type="application/problem+json")
        if status == 401:
            response.headers["www-authenticate"] = "Bearer"
        await response(scope, receive, guarded)


async def _known(
    connection: HTTPConnection, registry: RegistryThread, *, used: bool = True
) -> Principal | None:
    now_ns = time.time_ns()
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return await registry(lambda known: apitokens.find(known, token, now_ns))
    secret = cookie_of(connection)
    if not secret:
        return None
    found = await registry(lambda known: sessions.find(known, secret, now_ns, used=used))
    return None if found is None else found.principal


def _same_origin(connection: HTTPConnection) -> bool:
    """Whether a browser that changes something, or opens a WebSocket, does so from our own page.

    What has no Origin is no browser, or asks for a page (Fetch standard, 3.1).
    """
    scope = connection.scope
    if scope["type"] == "http" and scope["method"] in {"GET", "HEAD", "OPTIONS"}:
        return True
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is None:
        return True
    return origin.partition("://")[2] == headers.get("host")


def _capped(receive: Receive) -> Receive:
    """Take a request for broken off that brings more than MOST_BODY_BYTES."""
    taken_bytes = 0

    async def receiving() -> Message:
        nonlocal taken_bytes
        message = await receive()
        if message["type"] == "http.request":
            taken_bytes += len(message.get("body", b""))
            if taken_bytes > MOST_BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    return receiving


def _guarded(send: Send) -> Send:
    """Add the headers that guard a browser.

    No HSTS (RFC 6797): it would hold for every other port of this host, and there is no plain one
    here whose place it could take.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith("text/html"):
                headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
