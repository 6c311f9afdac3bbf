"""Coming and going: the form for a password, sign-out. Plain HTML, no script, for strangers.

Owns these routes. Must not know how a password is judged.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import RedirectResponse, Response

from forebay_fleet.access import sessions
from forebay_fleet.access.http import SIGN_IN, cookie_of, put_cookie
from forebay_fleet.access.signing_in import TooOften
from forebay_fleet.web import preferences, strangers

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay_fleet.http.context import Context

MOST_FORM_BYTES = 8 << 10
MOST_FIELDS = 8
FORM_S = 10.0
"""How long a form may take to come: who sends it is a stranger."""


def add_to(app: FastAPI, context: Context, oidc: str) -> None:
    """Add the routes; `oidc` is what the button of the provider says, "" if there is none."""

    @app.get(SIGN_IN, include_in_schema=False)
    async def form(request: Request) -> Response:
        """Show the form, or go on where somebody is known already.

        Who follows a link from elsewhere comes without the cookie, since it is `SameSite=Strict`:
        this page then asks for itself once more, as one of this site.
        """
        onward = preferences.local(request.query_params.get("next", "/"))
        if "forebay_principal" in request.scope:
            return RedirectResponse(onward, 303)
        foreign = request.headers.get("sec-fetch-site") == "cross-site"
        again = f"{SIGN_IN}?again=1&next={quote(onward, safe='/')}"
        if foreign and "again" not in request.query_params:
            return strangers.page(request, "onward.html", 200, onward=again)
        return strangers.page(request, "sign_in.html", 200, onward=onward, oidc=oidc)

    @app.post(SIGN_IN, include_in_schema=False)
    async def enter(request: Request) -> Response:
        """Begin a session."""
        fields = await _fields(request)
        name, onward = fields.get("name", ""), preferences.local(fields.get("next", "/"))
        password, address = fields.get("password", ""), strangers.address(request)
        try:
            secret = await context.signing_in(name, password, address)
        except TooOften as failures:
            return strangers.often(request, failures, onward=onward, name=name, oidc=oidc)
        if secret is None:
            return strangers.page(
                request, "sign_in.html", 401, onward=onward, name=name, wrong=True, oidc=oidc
            )
        entered = RedirectResponse(onward, 303)
        put_cookie(request, entered, secret)
        return entered

    @app.post("/sign-out", include_in_schema=False)
    async def leave(request: Request) -> Response:
        """End the session."""
        secret = cookie_of(request)
        await context.registry(lambda registry: sessions.end(registry, secret))
        answer = RedirectResponse(SIGN_IN, 303)
        put_cookie(request, answer, "")
        return answer


async def _fields(request: Request) -> dict[str, str]:
    """Read a form that was sent; of one that is too long, or too slow, nothing."""
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_FORM_BYTES:
                    return {}
        found = parse_qs(body.decode(), max_num_fields=MOST_FIELDS)
    except (TimeoutError, ValueError):
        return {}
    return {name: values[0] for name, values in found.items()}
