"""What strangers are shown: plain HTML without a script, under a policy that allows none.

Owns its templates. Must not know what a page is for.
"""

from __future__ import annotations

import ipaddress
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import jinja2
from starlette.responses import HTMLResponse

from forebay_fleet.web import preferences
from forebay_fleet.web.words import LANGUAGES, QUASAR, Words

if TYPE_CHECKING:
    from starlette.requests import Request

    from forebay_fleet.access.signing_in import TooOften

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""There is nothing on these pages that runs."""


def address(request: Request) -> str:
    """Give whom failures are counted for: an IPv4 address, or the /64 of an IPv6 address."""
    host = request.client.host if request.client is not None else ""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def page(request: Request, template: str, status: int, /, **values: object) -> HTMLResponse:
    """Give a page for strangers."""
    wishes = preferences.of(request)
    text = (
        _templates()
        .get_template(template)
        .render(
            {"t": Words(wishes.language), "theme": wishes.theme, "lang": QUASAR[wishes.language]}
            | {"languages": LANGUAGES, "language": wishes.language}
            | values
        )
    )
    headers = {"content-security-policy": POLICY, "cache-control": "no-store"}
    return HTMLResponse(text, status, headers)


def often(request: Request, failures: TooOften, **values: object) -> HTMLResponse:
    """Tell who failed too often how long to wait."""
    wait_s = round(failures.wait_s) + 1
    answer = page(request, "sign_in.html", 429, **{"onward": "/", "wait_s": wait_s, **values})
    answer.headers["retry-after"] = str(wait_s)
    return answer


@cache
def _templates() -> jinja2.Environment:
    folder = resources.files("forebay_fleet.web").joinpath("templates")
    loader = jinja2.FileSystemLoader(str(folder))
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.ChainableUndefined)
