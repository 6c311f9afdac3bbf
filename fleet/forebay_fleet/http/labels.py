"""REST of what boxes have in common, and in what they differ: labels, groups, variables.

Owns the routes. Must not know what a selector is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from forebay_fleet.access.http import require
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.access.trail import MOST_WHY
from forebay_fleet.http.problems import TOLD
from forebay_fleet.http.strict import Body, known
from forebay_fleet.rollouts import labels
from forebay_fleet.values.telling import plain_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fastapi import FastAPI

    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry

MOST_BOXES = 10_000
"""Of one change."""
MOST_SELECTOR = 1_000
PLAIN = r"^[^\x00]*$"
"""No database keeps a NUL in a text."""
Selector = Annotated[
    str,
    Query(
        max_length=MOST_SELECTOR,
        pattern=PLAIN,
        description="line=3,site!=ulm,canary; @GROUP; * is all.",
    ),
]
After = Annotated[str, Query(max_length=64, description="`after` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST_BOXES)]
Name = Annotated[str, Field(max_length=64, pattern=PLAIN)]
Selected = Annotated[str, Field(max_length=MOST_SELECTOR, pattern=PLAIN)]
Why = Annotated[str, Query(max_length=MOST_WHY, pattern=PLAIN)]
Reason = Annotated[
    str, Field(max_length=MOST_WHY, pattern=PLAIN, description="It stands in the audit.")
]
Finite = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Scalar = StrictBool | StrictInt | Finite | StrictStr


class Labels(BaseModel):
    """A page by box; ask on with `after`, null behind the last."""

    gateways: dict[str, dict[str, str]]
    after: str | None


class LabelChange(Body):
    """Labels of boxes; null takes one away, and those that are not named stay."""

    gateways: dict[Name, dict[str, str | None]] = Field(max_length=MOST_BOXES)
    why: Reason = ""


class Variables(BaseModel):
    """A page by box; ask on with `after`, null behind the last. What is no number is a text."""

    gateways: dict[str, dict[str, Scalar]]
    after: str | None


class VariableChange(Body):
    """What templates take from boxes; null takes one away, and those that are not named stay."""

    gateways: dict[Name, dict[str, Scalar | None]] = Field(max_length=MOST_BOXES)
    why: Reason = ""


class Group(BaseModel):
    """A selector with a name, and how many boxes fit it now."""

    selector: str
    boxes: int


class Groups(BaseModel):
    """By name."""

    groups: dict[str, Group]


class GroupChange(Body):
    """What a name stands for from now on."""

    selector: Selected
    why: Reason = ""


viewer, operator = Depends(require(Role.VIEWER)), Depends(require(Role.OPERATOR))


def add_to(app: FastAPI, context: Context) -> None:
    """Add the routes."""
    router = APIRouter(prefix="/api/v1", responses=TOLD, dependencies=[known])
    _add_labels(router, context)
    _add_variables(router, context)
    _add_groups(router, context)
    app.include_router(router)


def _add_labels(router: APIRouter, context: Context) -> None:
    @router.get("/labels", dependencies=[viewer])
    async def read(selector: Selector = "*", after: After = "", limit: Limit = 1000) -> Labels:
        """Give the enrolled boxes that a selector selects, with their labels."""
        page, more = await context.registry(_page(labels.every, selector, after, limit))
        return Labels(gateways=page, after=more)

    @router.patch("/labels", status_code=204)
    async def change(asked: LabelChange, who: Principal = operator) -> None:
        """Give boxes labels: all of it, or nothing."""
        await context.registry(lambda r: labels.put_all(r, who, asked.gateways, asked.why))


def _add_variables(router: APIRouter, context: Context) -> None:
    @router.get("/variables", dependencies=[viewer])
    async def read(selector: Selector = "*", after: After = "", limit: Limit = 1000) -> Variables:
        """Give what templates take from the boxes that a selector selects."""
        page, more = await context.registry(_page(_variables, selector, after, limit))
        return Variables(gateways=page, after=more)

    @router.patch("/variables", status_code=204)
    async def change(asked: VariableChange, who: Principal = operator) -> None:
        """Set what templates take from boxes: all of it, or nothing. No secrets."""
        put = labels.put_all_variables
        await context.registry(lambda r: put(r, who, asked.gateways, asked.why))


def _add_groups(router: APIRouter, context: Context) -> None:
    @router.get("/groups", dependencies=[viewer])
    async def read() -> Groups:
        """Give all groups, and how many boxes each has now."""
        return Groups(groups=await context.registry(_groups))

    @router.put("/groups/{group}", status_code=204)
    async def put(group: str, asked: GroupChange, who: Principal = operator) -> None:
        """Name a selector; a rollout goes to @NAME."""
        change = labels.put_group
        await context.registry(lambda r: change(r, who, group, asked.selector, asked.why))

    @router.delete("/groups/{group}", status_code=204)
    async def remove(group: str, why: Why = "", who: Principal = operator) -> None:
        """Take a name away; boxes and labels stay."""
        await context.registry(lambda r: labels.put_group(r, who, group, None, why))


def _page(
    every: Callable[[Registry], Mapping[str, Any]], selector: str, after: str, limit: int
) -> Callable[[Registry], tuple[dict[str, Any], str | None]]:
    """Give what reads a page of what boxes have."""

    def work(registry: Registry) -> tuple[dict[str, Any], str | None]:
        names = [name for name in labels.select(registry, selector) if name > after]
        of, page = every(registry), names[:limit]
        return {name: of.get(name, {}) for name in page}, page[-1] if len(names) > limit else None

    return work


def _variables(registry: Registry) -> dict[str, dict[str, Any]]:
    return {
        gateway: {
            name: plain_number(value) if isinstance(value, float) else value
            for name, value in own.items()
        }
        for gateway, own in labels.variables(registry).items()
    }


def _groups(registry: Registry) -> dict[str, Group]:
    return {
        name: Group(selector=selector, boxes=len(labels.select(registry, selector)))
        for name, selector in labels.groups(registry).items()
    }
