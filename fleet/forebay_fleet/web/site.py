"""The page of the fleet: the sign-in form for strangers, NiceGUI for everybody else.

Owns their order. Must not know what a page shows.
"""

from __future__ import annotations

import time
from importlib import resources
from typing import TYPE_CHECKING

from nicegui import app as nicegui
from nicegui import ui
from starlette.staticfiles import StaticFiles

from forebay_fleet.access.oidc.provider import Provider
from forebay_fleet.access.oidc.settings import load
from forebay_fleet.web import pages, preferences, sign_in, sign_in_oidc
from forebay_fleet.web.frame import Site

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay_fleet.http.context import Context
    from forebay_fleet.http.serving import WebSettings

BRAND = {
    "primary": "#0b6e8f",
    "secondary": "#46627f",
    "accent": "#0b6e8f",
    "positive": "#1a7f4b",
    "negative": "#c3362b",
    "warning": "#b26a00",
    "info": "#0b6e8f",
}
RECONNECT_S = 20.0
"""How long a page may be without a line before what it showed is forgotten here."""


def add_to(app: FastAPI, context: Context, settings: WebSettings) -> None:
    """Add all of it. NiceGUI is one for a process, so this is called once in one.

    Raises:
        UsageError: the file that says where people sign in is not sound.
        SignInFailed: the authority that it names cannot be read.
    """
    folder = resources.files("forebay_fleet.web").joinpath("static")
    app.mount("/static", StaticFiles(directory=str(folder)), name="static")
    preferences.add_to(app)
    provider = _provider(settings)
    sign_in.add_to(app, context, provider.settings.label if provider is not None else "")
    if provider is not None:
        sign_in_oidc.add_to(app, context, provider)
    nicegui.config.quasar_config["brand"] = dict(BRAND)
    nicegui.config.quasar_config["loadingBar"] = {"color": "primary", "skipHijack": True}
    site = Site(context)
    for add in pages.EVERY:
        add(site)
    site.add_first(app)
    ui.run_with(
        app,
        title="Forebay",
        favicon=str(folder.joinpath("mark.svg")),
        dark=None,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        gzip_middleware_factory=None,
        tailwind=False,
        show_welcome_message=False,
    )


def _provider(settings: WebSettings) -> Provider | None:
    return None if settings.oidc is None else Provider(*load(settings.oidc), time.monotonic)
