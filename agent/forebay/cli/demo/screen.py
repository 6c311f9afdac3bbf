"""What the demo shows: the path of a reading with live figures on it.

Owns layout and words. Must not know where the figures come from.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import DeviceStatus, TagValue

SPARKS = " ▁▂▃▄▅▆▇█"
SPARK_WIDTH = 60


@dataclass(slots=True)
class Watch:
    """The plugin that watches the meter: what it says, and what was done to the meter.

    `injected_s` and `flagged_s` are moments of the demo, None before them.
    """

    state: str = "starting"
    score: float | None = None
    alarm: bool = False
    windows_per_s: float = 0.0
    injected_s: float | None = None
    flagged_s: float | None = None


@dataclass(slots=True)
class Picture:
    """One moment of the demo."""

    phase: str = "starting"
    elapsed_s: float = 0.0
    seconds: float = 0.0
    server_up: bool = False
    devices: list[DeviceStatus] = field(default_factory=list)
    values: dict[str, TagValue] = field(default_factory=dict)
    samples_per_s: float = 0.0
    produced: int = 0
    delivered: int = 0
    pending: int = 0
    accepted: int = 0
    commit_p99_ms: float = 0.0
    backlog: list[int] = field(default_factory=list)
    watch: Watch | None = None


def render(picture: Picture) -> RenderableType:
    """Draw one moment, 80 columns wide."""
    return Panel(
        Group(
            _head(picture),
            Text(),
            _devices(picture),
            Text(),
            _path(picture),
            Text(),
            _spark(picture),
            *(() if picture.watch is None else (Text(), _watch(picture.watch))),
        ),
        title="Forebay demo",
        subtitle="every reading is journaled before it leaves, and counted until it arrived",
        width=80,
    )


def save_svg(picture: Picture, path: Path) -> None:
    """Write one moment as an SVG picture of a terminal."""
    console = Console(record=True, width=82, file=io.StringIO(), force_terminal=True)
    console.print(render(picture))
    svg = console.export_svg(title="make demo")
    # The picture must not make whoever looks at it fetch fonts from somewhere.
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


def line(picture: Picture) -> str:
    """Give one moment as one line, for a log instead of a terminal."""
    server = "up" if picture.server_up else "DOWN"
    watch = "" if picture.watch is None else f"  {_said(picture.watch)}"
    return (
        f"{picture.elapsed_s:5.1f} s  {picture.phase:37s} server {server:4s}  "
        f"produced {picture.produced:8,d}  delivered {picture.delivered:8,d}  "
        f"pending {picture.pending:7,d}{watch}"
    )


def _said(watch: Watch) -> str:
    """Give what the plugin says, in a few words."""
    if watch.score is None:
        return "plugin learns" if watch.state == "running" else f"plugin {watch.state}"
    return f"{'ANOMALY' if watch.alarm else 'normal'}, score {watch.score:.2f}"


def _head(picture: Picture) -> RenderableType:
    style = "bold green" if picture.server_up else "bold red"
    return Text.assemble(
        (f"{picture.elapsed_s:5.1f} s of {picture.seconds:.0f} s   ", "dim"), (picture.phase, style)
    )


def _devices(picture: Picture) -> RenderableType:
    table = Table(box=None, padding=(0, 1), expand=True)
    for name, justify in (
        ("PLC", "left"),
        ("protocol", "left"),
        ("state", "left"),
        ("tags", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # rich names the literals
    table.add_column("a value", ratio=1)
    for device in picture.devices:
        good = device.state == "connected"
        tags = str(device.tags) if not device.tags_bad else f"{device.tags} ({device.tags_bad} bad)"
        table.add_row(
            device.name,
            device.protocol,
            Text(device.state, "green" if good else "red"),
            tags,
            _value(picture.values.get(device.name)),
        )
    return table


def _value(tag: TagValue | None) -> str:
    if tag is None or not tag.WhichOneof("value"):
        return "-"
    value = getattr(tag, str(tag.WhichOneof("value")))
    shown = f"{value:,.2f}" if isinstance(value, float) else str(value)
    return f"{tag.name} {shown} {tag.unit}"


def _path(picture: Picture) -> RenderableType:
    table = Table(box=None, padding=(0, 1), show_header=False, expand=True)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="left", ratio=1)
    journal = f"durable, {picture.samples_per_s:,.0f}/s, commit p99 {picture.commit_p99_ms:.0f} ms"
    table.add_row("journal", f"{picture.produced:,d}", f"samples {journal}")
    server = ("up", "green") if picture.server_up else ("DOWN", "bold red")
    stored = Text.assemble("samples committed over mTLS, server ", server)
    table.add_row("fleet server", f"{picture.delivered:,d}", stored)
    style = "yellow" if picture.pending else "green"
    table.add_row("pending", Text(f"{picture.pending:,d}", style), "samples wait in the journal")
    return table


def _spark(picture: Picture) -> RenderableType:
    recent = picture.backlog[-SPARK_WIDTH:]
    top = max([*recent, 1])
    bars = "".join(SPARKS[-(-value * (len(SPARKS) - 1) // top)] for value in recent)
    return Text.assemble(("backlog  ", "dim"), (bars.ljust(SPARK_WIDTH), "yellow"))


def _watch(watch: Watch) -> RenderableType:
    style = "bold red" if watch.alarm else "dim" if watch.score is None else "green"
    said = Text.assemble(
        ("plugin   ", "dim"), (_said(watch), style), " of the three phase currents",
        (f", {watch.windows_per_s:.0f} windows/s", "dim"),
    )  # fmt: skip
    if watch.injected_s is not None:
        said.append(f"\n         phase L2 was weakened at {watch.injected_s:.1f} s")
        if watch.flagged_s is not None:
            said.append(f", flagged {watch.flagged_s - watch.injected_s:.1f} s later", "bold")
    return said
