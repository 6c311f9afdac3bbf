"""What REST is asked and does not know is refused, not left out: a misspelled `from` means a day.

Owns the check of parameters and bodies. Must not know any route.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Body(BaseModel):
    """What a route takes; a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


def known_parameters(request: Request) -> None:
    """Refuse a question with a parameter that its route does not have. FastAPI calls it.

    Raises:
        UsageError: naming it, and those that there are.
    """
    told = operations(request.app.openapi(), request.url.path).get(request.method, {})
    names = {one["name"] for one in told.get("parameters", ()) if one["in"] == "query"}
    for asked in request.query_params:
        if asked not in names:
            there = f"there are {', '.join(sorted(names))}" if names else "this route has none"
            raise UsageError(f"there is no parameter {asked[:60]!r}", hint=there)


known = Depends(known_parameters)
"""For the routers."""


def operations(described: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Give what a path has, by method, from a description (OpenAPI 3.1, 4.8.9); empty if none."""
    found: dict[str, Any] = {}
    for template, methods in described["paths"].items():
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found = {method.upper(): told for method, told in methods.items()} | found
    return found
