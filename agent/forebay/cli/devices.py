"""`forebay devices`: every device and its session, those in trouble first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from forebay.cli import call, output
from forebay.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import typer
    from rich.console import RenderableType

    from forebay._proto.control_pb2 import DeviceStatus

ORDER = ("waiting", "connecting", "connected", "disabled")
"""States by how much they want attention; one that this command does not know comes first."""
STYLES = {"waiting": output.BAD, "connecting": output.ODD, "connected": output.GOOD}


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(devices)


def devices(socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """List the devices, those in trouble first."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.devices()
        output.answer(reply, parts(reply.devices, SystemClock().now_ns()), as_json=as_json)


def parts(found: Iterable[DeviceStatus], now_ns: int) -> Iterator[RenderableType]:
    """Give what a person sees: the table, and below it each device's fault with its next step."""
    ranked = sorted(found, key=_rank)
    if not ranked:
        yield Text("no devices are configured")
        return
    shared = any(device.line for device in ranked)
    yield output.table(
        (
            *("=DEVICE", "=PROTOCOL", "=STATE", ">TAGS", ">BAD", ">POLL", "LAST DATA"),
            *(("LINE", ">LOAD") if shared else ()),
        ),
        [
            (
                device.name,
                device.protocol,
                Text(device.state, STYLES.get(device.state, output.QUIET)),
                output.count(device.tags),
                Text(output.count(device.tags_bad), output.BAD if device.tags_bad else ""),
                f"{device.last_poll_ms:.1f} ms" if device.polls else "-",
                output.age(device.last_data_ns, now_ns),
                *((device.line or "-", f"{device.line_load:.0%}") if shared else ()),
            )
            for device in ranked
        ],
    )
    for device in ranked:
        if device.last_error and device.state != "connected":
            wait = (
                f" (next try in {output.duration(device.next_try_s)})" if device.next_try_s else ""
            )
            yield output.fault(device.name, device.last_error + wait, device.last_hint)
        if device.overruns:
            yield output.fault(
                device.name,
                f"{output.count(device.overruns)} polls were missed since the start",
                "if it goes on, give its groups a longer period",
            )


def _rank(device: DeviceStatus) -> tuple[int, bool]:
    state = ORDER.index(device.state) if device.state in ORDER else -1
    return state, device.tags_bad == 0
