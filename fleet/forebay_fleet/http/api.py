"""REST: who asks, which boxes and tags there are, how far they are accounted for.

Owns routes under /api/v1 and what they answer; `history` has those of values. Must not know how
anything is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from forebay_fleet.access.http import require
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.http import history, labels, rollouts
from forebay_fleet.http.history import Mark, described
from forebay_fleet.http.problems import TOLD
from forebay_fleet.http.strict import known, operations
from forebay_fleet.values import asking, documents
from forebay_fleet.values.asking import MOST_ROWS, Asked
from forebay_fleet.values.selecting import MOST_PATTERN

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay_fleet.http.context import Context


class Me(BaseModel):
    """Who asks."""

    name: str
    role: str
    via: str


class Gateway(BaseModel):
    """A gateway that ever sent something; times are ns since 1970 UTC, 0 for never."""

    name: str
    version: str
    first_seen_ns: int
    last_hello_ns: int
    last_record_ns: int
    records: int
    samples: int


class Gateways(BaseModel):
    """A page by name; ask on with `after`, null behind the last."""

    gateways: list[Gateway]
    after: str | None


class TagOf(BaseModel):
    """A tag as its newest schema has it."""

    tag: str
    type: str
    unit: str
    address: str


class Tags(BaseModel):
    """A page by path; ask on with `after`, null behind the last."""

    gateway: str
    tags: list[TagOf]
    after: str | None


class Marks(BaseModel):
    """Of all streams of one gateway."""

    gateway: str
    watermarks: list[Mark]


Match = Annotated[str, Query(max_length=MOST_PATTERN, description="A pattern: * ? [abc].")]
After = Annotated[str, Query(max_length=1024)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]


def add_to(app: FastAPI, context: Context) -> None:
    """Add the routes."""
    router = APIRouter(prefix="/api/v1", responses=TOLD, dependencies=[known])
    viewer = Depends(require(Role.VIEWER))

    @router.get("/me")
    async def me(who: Principal = viewer) -> Me:
        """Give who asks."""
        return Me(name=who.name, role=who.role.word, via=who.via)

    @router.get("/gateways", dependencies=[viewer])
    async def gateways(match: Match = "*", after: After = "", limit: Limit = 1000) -> Gateways:
        """Give gateways by name."""
        found = await context.readers(lambda s: asking.gateways(s, match, after, limit))
        page = [Gateway.model_validate(row, from_attributes=True) for row in found.rows]
        return Gateways(gateways=page, after=found.after)

    @router.get(
        "/gateways/{name}/tags",
        dependencies=[viewer],
        responses=described(Tags),
        response_class=Response,
    )
    async def tags(
        name: str, match: Match = "*", after: After = "", limit: Limit = 1000
    ) -> Response:
        """Give tags that a gateway ever had, by path."""
        asked = Asked(name, match)
        answer = await context.readers(lambda s: documents.tags(s, asked, after, limit))
        return Response(answer, media_type="application/json")

    @router.get(
        "/gateways/{name}/watermarks",
        dependencies=[viewer],
        responses=described(Marks),
        response_class=Response,
    )
    async def watermarks(name: str) -> Response:
        """Give up to where each stream of a gateway is accounted for."""
        answer = await context.readers(lambda store: documents.marks(store, name))
        return Response(answer, media_type="application/json")

    app.include_router(router)
    for part in (history, labels, rollouts):
        part.add_to(app, context)
    nowhere = APIRouter(prefix="/api", include_in_schema=False)

    @nowhere.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def unknown(path: str, request: Request) -> None:
        """Say that there is nothing, or nothing by that method."""
        methods = sorted(operations(app.openapi(), request.url.path))
        if methods and request.method not in methods:
            allowed = ", ".join(methods)
            why = f"{request.method} is not what this path has, but {allowed}"
            raise HTTPException(405, why, {"allow": allowed})
        raise HTTPException(404, f"there is no /api/{path}"[:200])

    app.include_router(nowhere)
