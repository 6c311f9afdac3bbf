"""`forebay uplinks`: every uplink and its forwarder, those in trouble first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from forebay.cli import call, output
from forebay.cli.devices import ORDER, STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import typer
    from rich.console import RenderableType

    from forebay._proto.control_pb2 import UplinkStatus


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(uplinks)


def uplinks(socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """List the uplinks, those in trouble first."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.uplinks()
        output.answer(reply, parts(reply.uplinks), as_json=as_json)


def parts(found: Iterable[UplinkStatus]) -> Iterator[RenderableType]:
    """Give what a person sees: the table, and below it each uplink's fault with its next step."""
    ranked = sorted(found, key=lambda u: ORDER.index(u.state) if u.state in ORDER else -1)
    if not ranked:
        yield Text("no uplinks are configured")
        return
    yield output.table(
        ("=UPLINK", "KIND", "=STATE", ">PENDING", ">SIZE", ">OLDEST", "LAST ACK", ">SENT"),
        [
            (
                uplink.name,
                uplink.kind,
                Text(uplink.state, STYLES.get(uplink.state, output.QUIET)),
                output.count(uplink.pending_records),
                output.size(uplink.pending_bytes),
                output.duration(uplink.oldest_pending_s) if uplink.pending_records else "-",
                "never" if uplink.last_ack_s < 0 else f"{output.duration(uplink.last_ack_s)} ago",
                output.size(uplink.bytes_sent),
            )
            for uplink in ranked
        ],
    )
    for uplink in ranked:
        if uplink.last_error and uplink.state != "connected":
            yield output.fault(uplink.name, uplink.last_error, uplink.last_hint)
        elif uplink.held:
            yield Text.assemble((f"{uplink.name}: ", output.ODD), output.clean(uplink.held))
        if remarks := ", ".join(_remarks(uplink)):
            yield Text(f"{uplink.name}: {remarks}", output.QUIET)


def _remarks(uplink: UplinkStatus) -> Iterator[str]:
    if uplink.backfill_records:
        yield (
            f"of what is pending {output.count(uplink.backfill_records)} are backfill "
            f"and {output.count(uplink.live_records)} live"
        )
    if uplink.sent_today_bytes:
        yield f"{output.size(uplink.sent_today_bytes)} sent today"
    if uplink.quarantined_records:
        yield f"{output.count(uplink.quarantined_records)} in quarantine"
    if uplink.unheard_messages:
        yield f"{output.count(uplink.unheard_messages)} messages had no subscriber"
