"""Coming by way of a provider: there, and back.

Owns these two routes and the cookie between them. Must not know how a person is judged.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import structlog
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import RedirectResponse, Response

from forebay_fleet.access import sessions, users
from forebay_fleet.access.http import put_cookie
from forebay_fleet.access.oidc.provider import BACK
from forebay_fleet.access.signing_in import TooOften
from forebay_fleet.errors import SignInFailed, UsageError
from forebay_fleet.web import preferences, strangers

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay_fleet.access.oidc.provider import Person, Provider
    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry

THERE = "/sign-in/oidc"
COOKIE = "forebay_oidc"
"""Lax, since the provider's page sends the browser back; it is good for this way alone."""
KEPT_S = 600

_log = structlog.get_logger()


def add_to(app: FastAPI, context: Context, provider: Provider) -> None:
    """Add the routes."""
    signing_in, label = context.signing_in, provider.settings.label

    @app.get(THERE, include_in_schema=False)
    async def there(request: Request) -> Response:
        """Send the browser to the provider."""
        onward = preferences.local(request.query_params.get("next", "/"))
        try:
            signing_in.check(strangers.address(request))
            address, secret = await provider.begin()
        except TooOften as failures:
            return strangers.often(request, failures, oidc=label)
        except SignInFailed as failed:
            return _failed(request, failed, label)
        answer = RedirectResponse(address, 303)
        _put(request, answer, f"{secret}.{quote(onward, safe='/')}")
        return answer

    @app.get(BACK, include_in_schema=False)
    async def back(request: Request) -> Response:
        """Begin a session for who comes back."""
        secret, _, onward = request.cookies.get(COOKIE, "").partition(".")
        address = strangers.address(request)
        try:
            signing_in.check(address)
            cookie = await _enter(context, await provider.finish(secret, request.query_params))
        except TooOften as failures:
            return strangers.often(request, failures, oidc=label)
        except (SignInFailed, UsageError) as failed:
            signing_in.failed(address)
            return _failed(request, failed, label)
        # A page and no redirect: the provider's site would be where that one comes from, and the
        # cookie, being `SameSite=Strict`, would not be sent.
        target = preferences.local(unquote(onward))
        answer = strangers.page(request, "onward.html", 200, onward=target)
        put_cookie(request, answer, cookie)
        _put(request, answer, "")
        return answer


async def _enter(context: Context, person: Person) -> str:
    """Begin a session of a person; give the cookie's secret. Raises SignInFailed, UsageError."""

    def enter(registry: Registry) -> str:
        name = users.come_by(registry, person.subject, person.name, person.role)
        secret = sessions.begin(registry, name, "oidc", time.time_ns())
        if secret is None:
            raise SignInFailed(f"{name} is disabled here", hint="ask an admin")
        return secret

    return await context.registry(enter)


def _failed(request: Request, failed: SignInFailed | UsageError, label: str) -> Response:
    _log.warning("oidc_refused", error=str(failed), hint=failed.hint)
    answer = strangers.page(
        *(request, "sign_in.html", 403),
        onward="/",
        failed=str(failed),
        hint=failed.hint,
        oidc=label,
    )
    _put(request, answer, "")
    return answer


def _put(request: Request, answer: Response, value: str) -> None:
    answer.set_cookie(
        COOKIE,
        value,
        max_age=KEPT_S if value else 0,
        path=THERE,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
