"""The chart of one tag of a box, which goes on by itself.

Owns that part of a box's page. What is missing shows as a gap in the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nicegui import ui

from forebay_fleet._proto import batch_pb2
from forebay_fleet.decode import decode_schema
from forebay_fleet.errors import FleetError
from forebay_fleet.query import TagHistory
from forebay_fleet.values.ranges import in_steps
from forebay_fleet.web.pieces import card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.ranges import Range
    from forebay_fleet.web.frame import View

SPANS_S = {"m15": 900, "h1": 3600, "h6": 21_600, "h24": 86_400, "d7": 604_800}
STEPS = 600
MOST_TAGS = 5_000
QUICK_S, SLOW_S = 2.0, 20.0
"""How often a short span and a long one are read anew."""
BREAK = 3.0
"""So many usual distances without a sample are a gap."""
INK, BAND, AXIS, GRID = "#2a8fb3", "rgba(42,143,179,0.20)", "#8592a3", "rgba(133,146,163,0.22)"
"""Colours that can be read on light and on dark."""


async def add(view: View, name: str) -> None:
    """Add it to the page. It begins when the box has told a number."""
    t = view.t
    with card(t("chart.title")) as element:
        element.props["data-part"] = "chart"
        none = ui.label(t("chart.none")).classes("fb-muted")
        with ui.element("div").classes("fb-bar") as bar:
            tag = ui.select([], with_input=True).classes("fb-find")
            tag.props("outlined dense").props["aria-label"] = t("chart.tag")
            span = ui.toggle({key: t(f"chart.{key}") for key in SPANS_S}, value="m15")
            span.props("flat dense no-caps").classes("fb-spans")
            note = ui.label().classes("fb-muted")
        bar.set_visibility(False)
        place = ui.element("div").classes("fb-chart-place")
    drawn: list[ui.echart] = []

    async def begun() -> bool:
        tags = await view.context.readers(lambda store: _tags(store, name))
        if tags:
            none.set_visibility(False)
            bar.set_visibility(True)
            with place:
                drawn.append(ui.echart(_options([], [], [], "")).classes("fb-chart"))
            tag.set_options(tags, value=tags[0])
        return bool(tags)

    async def refresh() -> None:
        try:
            if not drawn and not await begun():
                return
            until_ns = view.context.now_ns()
            span_ns = (until_ns - SPANS_S[span.value] * 10**9, until_ns)
            found = await view.context.readers(
                lambda store: in_steps(TagHistory(store, name, tag.value or ""), span_ns, STEPS)
            )
        except FleetError as error:
            note.set_text(f"{error} ({error.hint})")
            return
        samples = int(found.steps.samples.sum())
        bad = samples - int(found.steps.good.sum())
        note.set_text(t("chart.note", samples=f"{samples:,}", bad=f"{bad:,}"))
        drawn[0].options.clear()
        drawn[0].options.update(_of(found, span_ns))
        drawn[0].update()
        timer.interval = QUICK_S if SPANS_S[span.value] <= SPANS_S["h1"] else SLOW_S

    timer = ui.timer(QUICK_S, refresh)
    tag.on_value_change(refresh)
    span.on_value_change(refresh)


def _tags(store: StoreReader, name: str) -> list[str]:
    """Give DEVICE/TAG of all numbers the store ever got of a box; the agent's own come last."""
    number = store.gateway_id(name)
    if number is None:
        return []
    schemas: dict[int, SchemaView] = {}
    found = set()
    for row in store.history.tags(number):
        if row.schema_id not in schemas:
            schemas[row.schema_id] = decode_schema(
                store.history.schema(number, row.schema_id) or b""
            )
        tag = schemas[row.schema_id].message.tags[row.column]
        if tag.type not in {batch_pb2.STRING, batch_pb2.BYTES}:
            found.add(row.path)
    return sorted(found, key=lambda path: (path.startswith("_"), path))[:MOST_TAGS]


def _of(found: Range, span_ns: tuple[int, int]) -> dict[str, Any]:
    """Give the chart of a range: a line of means, in a band from least to most."""
    steps = found.steps
    at = np.flatnonzero(steps.numbers)
    times = ((steps.start_ns + (at + 0.5) * steps.step_ns) / 1e6).round()
    breaks = (
        np.flatnonzero(np.diff(at) > max(BREAK, BREAK * np.median(np.diff(at))))
        if len(at) > 1
        else np.array([], np.int64)
    )
    lines: list[Sequence[Any]] = []
    for values in (steps.mean[at], steps.min[at], steps.max[at] - steps.min[at]):
        points: list[list[float | None]] = np.stack([times, values], axis=1).tolist()
        for where in breaks[::-1].tolist():
            middle = (points[where][0] or 0) + steps.step_ns / 1e6
            points.insert(where + 1, [middle, None])
        lines.append(points)
    mean, least, spread = lines
    options = _options(mean, least, spread, found.unit)
    options["xAxis"] |= {"min": span_ns[0] // 10**6, "max": span_ns[1] // 10**6}
    return options


def _options(
    mean: Sequence[Any], least: Sequence[Any], spread: Sequence[Any], unit: str
) -> dict[str, Any]:
    plain = {"type": "line", "showSymbol": False, "animation": False, "silent": True}
    axis = {"axisLabel": {"color": AXIS}, "axisLine": {"lineStyle": {"color": GRID}}}
    hidden = {"lineStyle": {"opacity": 0}, "stack": "band", "tooltip": {"show": False}}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 28, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "splitLine": {"show": False}, **axis},
        "yAxis": {
            "type": "value",
            "scale": True,
            "name": unit,
            "nameTextStyle": {"color": AXIS},
            "splitLine": {"lineStyle": {"color": GRID}},
            **axis,
        },
        "series": [
            {**plain, **hidden, "data": least},
            {**plain, **hidden, "data": spread, "areaStyle": {"color": BAND}},
            {
                **plain,
                "name": unit,
                "data": mean,
                "lineStyle": {"color": INK, "width": 1.8},
                "itemStyle": {"color": INK},
            },
        ],
    }
