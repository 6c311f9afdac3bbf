"""The last values of a box, as it told them: for a look, not for the record.

Owns that part of a box's page.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from nicegui import ui

from forebay_fleet.desired import shadows
from forebay_fleet.errors import FleetError
from forebay_fleet.statuscodes import NAMES
from forebay_fleet.web import moments
from forebay_fleet.web.pieces import card, plain_table

if TYPE_CHECKING:
    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.web.frame import View

REFRESH_S = 3.0
MOST_SHOWN = 100


def add(view: View, name: str) -> None:
    """Add it to the page."""
    t = view.t
    with card(t("values.title")) as element:
        element.props["data-part"] = "values"
        find = ui.input(placeholder=t("values.find")).classes("fb-find")
        find.props("outlined dense clearable debounce=300 type=search")
        find.props["aria-label"] = t("values.find")
        body = ui.element("div").classes("fb-scroll")
        seen: list[list[tuple[str, ...]]] = [[]]

    async def refresh() -> None:
        text = find.value or ""
        pattern = text if "*" in text or "?" in text else f"*{text}*"
        try:
            found = await asyncio.to_thread(_read, view, name, pattern)
        except FleetError as error:
            view.refuse(str(error), error.hint)
            return
        if found != seen[0] or not seen[0]:
            seen[0] = found
            head = [t(f"values.{key}") for key in ("tag", "value", "unit", "quality", "since")]
            plain_table(body, head, found)

    find.on_value_change(refresh)
    ui.timer(REFRESH_S, refresh)


def _read(view: View, name: str, pattern: str) -> list[tuple[str, ...]]:
    found = islice(shadows.values(view.context.data, name, pattern), MOST_SHOWN)
    return [_row(one) for one in found]


def _row(one: fleet_pb2.ShadowValue) -> tuple[str, ...]:
    kind = one.WhichOneof("value")
    value = getattr(one, kind) if kind else None
    text = "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)  # noqa: RUF001
    quality = NAMES.get(one.quality >> 16, f"0x{one.quality:08x}")
    tag = f"{one.device}/{one.tag}"
    return tag, text[:200], one.unit, quality, moments.stamp(one.time_ns)
