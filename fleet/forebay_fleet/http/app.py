"""What is on the HTTP port: the sign-in form, REST, metrics, pages; the gate around all of it.

Owns their order. Must not know what they show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from forebay_fleet.access.http import Gate
from forebay_fleet.http import api, metrics, problems
from forebay_fleet.web import site

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from forebay_fleet.http.context import Context
    from forebay_fleet.http.serving import WebSettings


def build(context: Context, settings: WebSettings) -> ASGIApp:
    """Give the application of the port."""
    app = FastAPI(
        title="Forebay fleet",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        """Say that this process serves."""
        return PlainTextResponse("ok\n")

    problems.add_to(app)
    api.add_to(app, context)
    metrics.add_to(app, context)
    site.add_to(app, context, settings)
    return Gate(app, context.registry)
