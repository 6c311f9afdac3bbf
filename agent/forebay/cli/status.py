"""`forebay status`: the gateway at a glance, what is wrong first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from forebay.cli import call, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from forebay._proto.control_pb2 import StatusReply


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(status)


def status(
    socket: call.Socket = call.SOCKET, *, as_json: call.Json = False, watch: call.Watch = False
) -> None:
    """Show how the gateway does, what is wrong first."""
    with call.agent(socket, as_json=as_json) as agent:
        if as_json:
            output.document(output.plain(agent.status()))
        elif watch:
            output.watch(lambda: lines(agent.status()))
        else:
            output.show(lines(agent.status()))


def lines(reply: StatusReply) -> Iterator[Text]:
    """Give what a person sees."""
    for problem in reply.problems:
        yield Text.assemble(("! ", output.BAD), output.clean(problem))
    yield Text.assemble(
        (reply.gateway, "bold"),
        " is ",
        (reply.state, output.GOOD if reply.state == "running" else output.ODD),
        f", up {output.duration(reply.uptime_s)}, forebay {reply.version}",
    )
    connected = reply.devices_connected == reply.devices
    yield Text.assemble(
        "devices  ",
        (
            f"{output.count(reply.devices_connected)} of {output.count(reply.devices)} connected",
            "" if connected else output.ODD,
        ),
        f", {output.count(reply.devices_disabled)} disabled" if reply.devices_disabled else "",
    )
    if reply.uplinks:
        behind = (
            f", {output.count(reply.pending_records)} records pending, "
            f"oldest {output.duration(reply.oldest_pending_s)}"
        )
        up, of = reply.uplinks_connected, reply.uplinks
        yield Text.assemble(
            "uplinks  ",
            (
                f"{output.count(up)} of {output.count(of)} connected",
                "" if up == of else output.ODD,
            ),
            behind if reply.pending_records else ", nothing pending",
        )
    else:
        yield Text("uplinks  none: readings stay in the journal", output.QUIET)
    yield Text(f"tags     {output.count(reply.tags)}")
    yield Text(f"rate     {reply.samples_per_s:,.0f} samples/s")
    yield Text(f"memory   {output.size(reply.rss_bytes)}")
    for note in reply.notes:
        yield Text(output.clean(note), output.QUIET)
