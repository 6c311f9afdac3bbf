"""What REST says when it cannot answer: RFC 9457, with the next step.

Owns the form and which status an error has. Must not know any route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from forebay_fleet.access.http import API, Denied
from forebay_fleet.errors import FleetError, StoreError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong (RFC 9457, 3); `hint` is the next step."""

    title: str
    status: int
    hint: str


TOLD: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "What is asked for cannot be, or is not there.",
        401: "Nobody is signed in.",
        403: "The role does not allow it.",
        503: "The store cannot be read now, or too much is asked of it at once.",
    }.items()
}
"""For the descriptions of routes."""


def add_to(app: FastAPI) -> None:
    """Have every error of the application told so."""
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(FleetError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)


def problem(status: int, title: str, hint: str) -> Response:
    """Give what went wrong."""
    content = {"title": title, "status": status, "hint": hint}
    return JSONResponse(content, status, media_type=MEDIA_TYPE)


async def _denied(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Denied)
    return problem(error.status, str(error), error.hint)


async def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, FleetError)
    status = 400 if isinstance(error, UsageError) else 503 if isinstance(error, StoreError) else 500
    return problem(status, str(error), error.hint)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return problem(400, f"{where}: {first['msg']}", "see /api/openapi.json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not request.url.path.startswith(API):
        return await http_exception_handler(request, error)
    hint = "the paths are in /api/openapi.json"
    told = problem(error.status_code, str(error.detail), hint)
    told.headers.update(error.headers or {})
    return told
