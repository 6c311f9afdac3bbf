"""`forebay plan`: the requests by which a device is read, why they are so, and what they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import PlanReply

REFUSED_SHOWN = 20
"""Most refused tags in the table for a person; JSON has them all."""
BUSY = 0.8
"""The share of its time from which a line is shown as nearly full."""

Device = Annotated[str, typer.Argument(help="The device.", show_default=False)]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(plan)


def plan(device: Device, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """Show how a device is read: its requests, the reasons, the load of its line."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.plan(device)
        state = next((one.state for one in agent.devices().devices if one.name == device), "")
        output.answer(reply, parts(reply, state), as_json=as_json)


def parts(reply: PlanReply, state: str = "connected") -> Iterator[RenderableType]:
    """Give what a person sees of a device that is in `state`, as `forebay devices` has it."""
    if not reply.groups:
        name = output.clean(reply.device)
        if state == "connected":
            why = "it sends by itself, or its driver plans its requests itself"
        else:
            why = f"it was not connected yet ({state}); next: forebay doctor"
        yield Text(f"there is no plan of {name}: {why}")
        return
    yield output.table(
        ("GROUP", ">PERIOD", ">REQUESTS", ">OF THE LINE'S TIME"),
        [
            (
                group.group,
                _period(group.period_s),
                output.count(group.requests),
                _share(group.load),
            )
            for group in reply.groups
        ],
    )
    if reply.line_load >= 0:
        yield Text(
            f"the line {output.clean(reply.line)} was busy {reply.line_load:.1%} of the time "
            "lately, with all that is asked on it",
            output.ODD if reply.line_load >= BUSY else "",
        )
    yield Text()
    yield from _requests(reply)
    if reply.learned:
        yield Text("\nWhat the device has taught:")
        yield from (Text(f"  {output.clean(line)}") for line in reply.learned)
    if reply.refused:
        yield Text()
        yield from _refused(reply)


def _requests(reply: PlanReply) -> Iterator[RenderableType]:
    yield output.table(
        ("=GROUP", "REQUEST", ">TAGS", ">UNNEEDED", ">TIME", "WHY IT BEGINS THERE"),
        [
            (
                request.group,
                f"{request.area}:{request.start}"
                + (f" to {request.start + request.count - 1}" if request.count > 1 else ""),
                output.count(request.tags),
                output.count(request.unneeded) if request.unneeded else "-",
                "-" if request.predicted_ms < 0 else f"{request.predicted_ms:.3g} ms",
                request.reason,
            )
            for request in reply.requests
        ],
    )


def _refused(reply: PlanReply) -> Iterator[RenderableType]:
    yield output.table(
        ("GROUP", "=REFUSED TAG", "ADDRESS", "QUALITY"),
        [(r.group, r.tag, r.address, r.quality_name) for r in reply.refused[:REFUSED_SHOWN]],
    )
    more = len(reply.refused) - REFUSED_SHOWN
    if more > 0:
        yield Text(f"and {output.count(more)} more: see them with --json", output.QUIET)


def _period(seconds: float) -> str:
    return output.duration(seconds) if seconds >= 1 else f"{seconds * 1e3:g} ms"


def _share(load: float) -> str | Text:
    if load < 0:
        return Text("not measured yet", output.QUIET)
    return Text(f"{load:.1%}", output.BAD if load > 1 else output.ODD if load >= BUSY else "")
