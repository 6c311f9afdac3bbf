"""REST of rollouts: check, start, list, show, pause, resume, abort.

Owns the routes and what they take. Must not know how a rollout goes on.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from forebay_fleet.access.http import require
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.artifacts import choosing
from forebay_fleet.errors import UsageError
from forebay_fleet.http.labels import After, Name, Reason, Selected
from forebay_fleet.http.problems import TOLD
from forebay_fleet.http.strict import Body, known
from forebay_fleet.rollouts import book
from forebay_fleet.rollouts.plans import BoxState, Plan, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry

MOST_LISTED = 200
MOST_BOXES = 10_000
"""Of one page."""
MOST_FAULTY = 100
"""Boxes whose faults are told."""


def _decoded(text: object) -> bytes:
    """Read Base64, and nothing that is none: what is missing of a file would be missed at a box."""
    if not isinstance(text, str):
        raise ValueError("Base64 is a text")  # noqa: TRY004 - what pydantic tells
    return base64.b64decode(text, validate=True)


Blob = Annotated[
    bytes,
    BeforeValidator(_decoded),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
Id = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


class PlanTold(Body):
    """How a rollout goes; see docs/guides/rollouts.md. Times are seconds."""

    canary: int = Field(1, ge=0, le=book.MOST_BOXES)
    percents: list[int] = Field([25, 100])
    failures: int = Field(0, ge=0, le=book.MOST_BOXES)
    deadline_s: float = Field(3600.0, ge=1, le=366 * 86_400)
    rest_s: float = Field(0.0, ge=0, le=366 * 86_400)
    window: str = Field("", max_length=100)
    zone: str = Field("UTC", max_length=100)


class Asked(Body):
    """A rollout before it is begun.

    `files` are those of a configuration or a template, by their paths; what is no text goes into
    `blobs`, as Base64.
    """

    selector: Selected
    files: dict[str, str]
    blobs: dict[str, Blob] = Field({})
    plan: PlanTold = PlanTold()
    first: list[str] = Field([], max_length=book.MOST_BOXES)
    agent: Name = ""
    min_agent: Name = ""
    why: Reason = ""


class FaultTold(BaseModel):
    """What is wrong with a template for a box."""

    path: str
    message: str
    hint: str


class Checked(BaseModel):
    """What a rollout would do: boxes in the order of their turns, how many each wave has."""

    boxes: list[str]
    waves: list[int]
    faults: dict[str, list[FaultTold]]


class Begun(BaseModel):
    """A rollout that goes on by itself."""

    id: str
    waves: list[int]


class RolloutTold(BaseModel):
    """A rollout; times are ns since 1970, `ended_ns` 0 while it goes on, `counts` by state."""

    id: str
    began_ns: int
    ended_ns: int
    who: str
    why: str
    state: State
    said: str
    selector: str
    plan: PlanTold
    agent: str
    min_agent: str
    wave: int
    ending: str
    counts: dict[BoxState, int]


class Rollouts(BaseModel):
    """The newest first."""

    rollouts: list[RolloutTold]


class BoxTold(BaseModel):
    """A box in a rollout; `since_ns` of its state."""

    gateway: str
    wave: int
    state: BoxState
    said: str
    offer_id: str
    since_ns: int


class Boxes(BaseModel):
    """A page by box; ask on with `after`, null behind the last."""

    boxes: list[BoxTold]
    after: str | None


class Step(Body):
    """Why a person, or a program, decides so."""

    why: Reason = ""


class Abort(Step):
    """`put_back`: who has it, too, is told again what it was told before."""

    put_back: bool = False


viewer, operator = Depends(require(Role.VIEWER)), Depends(require(Role.OPERATOR))


def add_to(app: FastAPI, context: Context) -> None:
    """Add the routes."""
    router = APIRouter(prefix="/api/v1/rollouts", responses=TOLD, dependencies=[known])
    _add_reading(router, context)
    _add_starting(router, context)
    _add_steps(router, context)
    app.include_router(router)


def _add_reading(router: APIRouter, context: Context) -> None:
    @router.get("", dependencies=[viewer])
    async def listed(limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50) -> Rollouts:
        """Give the newest rollouts."""

        def work(registry: Registry) -> list[RolloutTold]:
            return [_told(registry, one) for one in book.listed(registry, limit)]

        return Rollouts(rollouts=await context.registry(work))

    @router.get("/{id}", dependencies=[viewer])
    async def shown(id: Id) -> RolloutTold:  # noqa: A002 - the name in the path
        """Give how a rollout goes."""
        return await context.registry(lambda r: _told(r, book.find(r, id)))

    @router.get("/{id}/boxes", dependencies=[viewer])
    async def boxes(
        id: Id,  # noqa: A002 - as above
        state: BoxState | None = None,
        after: After = "",
        limit: Annotated[int, Query(ge=1, le=MOST_BOXES)] = 1000,
    ) -> Boxes:
        """Give the boxes of a rollout, by name."""

        def work(registry: Registry) -> list[book.Box]:
            book.find(registry, id)
            return sorted(book.boxes(registry, id))

        every = [
            one
            for one in await context.registry(work)
            if one.gateway > after and state in {None, one.state}
        ]
        page = [BoxTold.model_validate(one, from_attributes=True) for one in every[:limit]]
        return Boxes(boxes=page, after=page[-1].gateway if len(every) > limit else None)


def _add_starting(router: APIRouter, context: Context) -> None:
    @router.post("/check", dependencies=[operator])
    async def check(asked: Asked) -> Checked:
        """Say which boxes it would go to in which wave, and whether it fits each."""
        wanted = _wanted(asked)
        found = await context.registry(lambda r: book.prove(r, wanted))
        faults = {
            box: [FaultTold.model_validate(fault, from_attributes=True) for fault in own]
            for box, own in list(found.faults.items())[:MOST_FAULTY]
        }
        return Checked(boxes=found.boxes, waves=found.waves, faults=faults)

    @router.post("", status_code=201)
    async def start(asked: Asked, who: Principal = operator) -> Begun:
        """Begin a rollout: a wave follows when all boxes of the one before have kept it."""
        wanted, published = _wanted(asked), context.published

        def work(registry: Registry) -> Begun:
            choosing.need_agent(published.artifacts() if published else (), asked.agent)
            id_ = book.start(registry, who, wanted, asked.why)
            waves = wanted.plan.waves(len(book.boxes(registry, id_)))
            return Begun(id=id_, waves=waves)

        return await context.registry(work)


def _add_steps(router: APIRouter, context: Context) -> None:
    async def done(
        id_: str, step: Callable[[Registry, Principal, str, str], None], who: Principal, why: str
    ) -> RolloutTold:
        def work(registry: Registry) -> RolloutTold:
            step(registry, who, id_, why)
            return _told(registry, book.find(registry, id_))

        return await context.registry(work)

    @router.post("/{id}/pause")
    async def pause(id: Id, asked: Step, who: Principal = operator) -> RolloutTold:  # noqa: A002
        """Offer it to no more boxes; those that have it go on."""
        return await done(id, book.pause, who, asked.why)

    @router.post("/{id}/resume")
    async def resume(id: Id, asked: Step, who: Principal = operator) -> RolloutTold:  # noqa: A002
        """Go on; what has failed until now is borne."""
        return await done(id, book.resume, who, asked.why)

    @router.post("/{id}/abort")
    async def abort(id: Id, asked: Abort, who: Principal = operator) -> RolloutTold:  # noqa: A002
        """End it: who has not begun with it will not."""
        return await done(id, partial(book.abort, put_back=asked.put_back), who, asked.why)


def _wanted(asked: Asked) -> book.Wanted:
    """Give what is asked for. UsageError if it cannot be."""
    try:
        contents = {path: text.encode() for path, text in asked.files.items()}
    except UnicodeEncodeError:
        raise UsageError("a file is no text", hint="send it in `blobs`, as Base64") from None
    if twice := sorted(contents.keys() & asked.blobs.keys()):
        raise UsageError(f"{twice[0]} is there twice", hint="in `files` or in `blobs`")
    told: dict[str, Any] = {**asked.plan.model_dump(), "percents": tuple(asked.plan.percents)}
    return book.Wanted(
        asked.selector,
        contents | asked.blobs,
        Plan(**told),
        tuple(asked.first),
        asked.agent,
        asked.min_agent,
    )


def _told(registry: Registry, one: book.Rollout) -> RolloutTold:
    own = {**one._asdict(), "plan": asdict(one.plan), "counts": book.counts(registry, one.id)}
    return RolloutTold.model_validate(own)
