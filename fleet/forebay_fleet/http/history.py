"""REST of values: the newest, those behind a position, in steps, as a file, live.

Owns the routes and their limits. Must not know how anything is found.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from forebay_fleet.access.http import allowed, require
from forebay_fleet.access.roles import Role
from forebay_fleet.http import live
from forebay_fleet.http.problems import TOLD
from forebay_fleet.http.streaming import Streamed
from forebay_fleet.http.strict import known
from forebay_fleet.values import documents
from forebay_fleet.values.asking import MOST_VALUES, Asked, Export
from forebay_fleet.values.ranges import MOST_STEPS
from forebay_fleet.values.selecting import MOST_PATTERN
from forebay_fleet.values.spans import span_ns
from forebay_fleet.values.telling import position

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay_fleet.http.context import Context


class Value(BaseModel):
    """One sample; see docs/guides/values.md."""

    time_ns: int
    received_ns: int
    value: bool | int | float | str | None
    encoding: str | None = None
    status: int
    quality: str
    clock: str
    epoch: str
    seq: int


class Loss(BaseModel):
    """A stretch of source time in which samples are missing; both ends are inclusive."""

    cause: str
    time_from_ns: int
    time_to_ns: int
    samples: int | None
    source: str


class Series(BaseModel):
    """The newest values of one tag, the oldest first, and what is missing."""

    tag: str
    unit: str
    values: list[Value]
    missing: list[Loss]
    missing_more: int


class Newest(BaseModel):
    """Of one gateway."""

    gateway: str
    series: list[Series]


class Mark(BaseModel):
    """Up to where a stream is accounted for."""

    stream: str
    epoch: str
    seq: int
    open: int


class Ordered(BaseModel):
    """Values by position; ask on with `after`."""

    gateway: str
    tag: str
    unit: str
    values: list[Value]
    after: str
    watermark: Mark | None


class Stepped(BaseModel):
    """One tag in steps: step i begins at `start_ns + i * step_ns`; null where it has no number."""

    tag: str
    unit: str
    start_ns: int
    step_ns: int
    samples: list[int]
    good: list[int]
    numbers: list[int]
    min: list[float | None]
    max: list[float | None]
    mean: list[float | None]
    first: list[float | None]
    last: list[float | None]
    missing: list[Loss]
    missing_more: int


class Ranges(BaseModel):
    """Of one gateway."""

    gateway: str
    series: list[Stepped]


class Form(StrEnum):
    """Of a file."""

    CSV = "csv"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Form.CSV: "text/csv; charset=utf-8",
    Form.PARQUET: "application/vnd.apache.parquet",
}

Tag = Annotated[str, Query(max_length=MOST_PATTERN, description="DEVICE/TAG, or a pattern.")]
Since = Annotated[
    str | None,
    Query(alias="from", max_length=40, description="First source time; 24 h before `to`."),
]
Until = Annotated[str | None, Query(alias="to", max_length=40, description="Last one; now.")]
RawTimes = Annotated[bool, Query(description="Times as the gateway stamped them.")]


def described(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Say what a route answers that makes its JSON itself."""
    return {200: {"model": model}, **TOLD}


def add_to(app: FastAPI, context: Context) -> None:
    """Add the routes."""
    router = APIRouter(
        prefix="/api/v1/gateways/{name}", dependencies=[Depends(require(Role.VIEWER)), known]
    )
    _add_questions(router, context)
    _add_export(router, context)
    live.add_to(router, context)
    app.include_router(router)


def _add_questions(router: APIRouter, context: Context) -> None:
    @router.get("/values", responses=described(Newest), response_class=Response)
    async def values(
        name: str,
        tag: Tag,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(ge=1, le=MOST_VALUES)] = 100,
        *,
        raw_times: RawTimes = False,
    ) -> Response:
        """Give the newest values of tags in a time, the oldest first, and what is missing there."""
        asked, span = Asked(name, tag, raw_times), span_ns(since, until, context.now_ns())
        return await _json(context, lambda store: documents.newest(store, asked, span, limit))

    @router.get("/ordered", responses=described(Ordered), response_class=Response)
    async def ordered(
        name: str,
        tag: Tag,
        after: Annotated[str | None, Query(max_length=40, description="EPOCH/SEQ.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_VALUES)] = 1000,
        *,
        raw_times: RawTimes = False,
    ) -> Response:
        """Give values of one tag behind a position, up to the watermark: nothing comes twice."""
        asked, behind = Asked(name, tag, raw_times), position(after)
        return await _json(
            context, lambda store: documents.by_position(store, asked, behind, limit)
        )

    @router.get("/ranges", responses=described(Ranges), response_class=Response)
    async def ranges(
        name: str,
        tag: Tag,
        since: Since = None,
        until: Until = None,
        steps: Annotated[int, Query(ge=1, le=MOST_STEPS)] = 500,
        *,
        raw_times: RawTimes = False,
    ) -> Response:
        """Give tags in steps: min, max, mean, first, last, how many samples and good ones."""
        asked, span = Asked(name, tag, raw_times), span_ns(since, until, context.now_ns())
        return await _json(context, lambda store: documents.ranges(store, asked, span, steps))


async def _json(context: Context, work: Any) -> Response:  # noqa: ANN401 - a function of a reader
    return Response(await context.readers(work), media_type="application/json")


def _add_export(router: APIRouter, context: Context) -> None:
    @router.get(
        "/export",
        responses={200: {"content": {"text/csv": {}}}, **TOLD},
        response_class=StreamingResponse,
    )
    async def export(
        request: Request,
        name: str,
        tag: Tag,
        since: Since = None,
        until: Until = None,
        form: Annotated[Form, Query(alias="format")] = Form.CSV,
        *,
        raw_times: RawTimes = False,
    ) -> Streamed:
        """Give all values of tags in a time as a file, by time. Breaks off if it fails."""
        parts = await context.offer.exports.open(
            Export(Asked(name, tag, raw_times), span_ns(since, until, context.now_ns())),
            form.value,
            lambda: allowed(request, context.registry, Role.VIEWER),
        )
        headers = {"content-disposition": f'attachment; filename="values.{form.value}"'}
        return Streamed(parts, 200, headers, MEDIA_TYPES[form])
