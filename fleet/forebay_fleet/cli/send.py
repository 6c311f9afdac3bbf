"""The commands that have a box do something now: send GATEWAY read|write|restart.

Owns their arguments and what they print. They change the registry beside a running server, which
sees it within a second. What a command needs is imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet._proto import fleet_pb2

Name = Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)]
For = Annotated[str, typer.Option("--for", help="How long it may begin, a day at most.")]
Reason = Annotated[str, typer.Option(help="Why; the box's audit keeps it.")]
Role = Annotated[str, typer.Option(help="viewer, operator or admin: see limits.toml of the box.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the result; 0: do not.")]

send = typer.Typer(help="Have a gateway do something, once.", no_args_is_help=True)
_LOOK_S = 0.2


@send.command()
def read(
    gateway: Name,
    tags: Annotated[list[str], typer.Argument(help="DEVICE/TAG.", show_default=False)],
    data: common.Data = common.DATA,
    for_: For = "10min",
    reason: Reason = "",
    role: Role = "admin",
    wait: Wait = 30.0,
    *,
    as_json: common.Json = False,
) -> None:
    """Show the last values of tags."""
    from forebay_fleet._proto import fleet_pb2

    command = fleet_pb2.Command(gateway=gateway, reason=reason, role=role)
    command.read.tags.extend(tags)
    _send(data, command, for_, wait, as_json=as_json)


@send.command()
def write(  # noqa: PLR0913 - each is an option of the command
    gateway: Name,
    target: Annotated[str, typer.Argument(help="DEVICE/TAG.", show_default=False)],
    value: Annotated[str, typer.Argument(help="JSON: true, 42, 1.5.", show_default=False)],
    data: common.Data = common.DATA,
    for_: For = "1min",
    reason: Reason = "",
    role: Role = "operator",
    wait: Wait = 30.0,
    *,
    as_json: common.Json = False,
) -> None:
    """Write a tag, if the box's rules allow it; at most once, whatever happens."""
    from forebay_fleet._proto import fleet_pb2

    command = fleet_pb2.Command(gateway=gateway, reason=reason, role=role)
    device, _, tag = target.partition("/")
    command.write.device, command.write.tag = device, tag
    _give(command.write, value)
    _send(data, command, for_, wait, as_json=as_json)


@send.command()
def restart(
    gateway: Name,
    component: Annotated[
        list[str], typer.Argument(help="agent, or device, uplink, plugin and a name.")
    ],
    data: common.Data = common.DATA,
    for_: For = "10min",
    reason: Reason = "",
    role: Role = "admin",
    wait: Wait = 30.0,
    *,
    as_json: common.Json = False,
) -> None:
    """End a part of the agent and begin it again."""
    from forebay_fleet._proto import fleet_pb2

    command = fleet_pb2.Command(gateway=gateway, reason=reason, role=role)
    command.restart.component = " ".join(component)
    _send(data, command, for_, wait, as_json=as_json)


def _give(write: fleet_pb2.WriteCommand, text: str) -> None:
    """Set the value; raises UsageError for what is no JSON of one value."""
    from forebay_fleet.errors import UsageError

    try:
        value = json.loads(text)
        if isinstance(value, bool):
            write.bool_value = value
        elif isinstance(value, int) and value >= 0:
            write.uint_value = value
        elif isinstance(value, int):
            write.int_value = value
        elif isinstance(value, float):
            write.double_value = value
        elif isinstance(value, str):
            write.string_value = value
    except ValueError:
        value = None
    if write.WhichOneof("value") is None:
        hint = "write true, 42, 1.5 or a text in quotes"
        raise UsageError(f"{text[:64]!r} is no value", hint=hint)


def _send(
    data: Path, command: fleet_pb2.Command, for_: str, wait_s: float, *, as_json: bool
) -> None:
    import getpass
    import re
    import secrets
    import time

    from forebay_fleet.desired import commands, signing
    from forebay_fleet.registry import Registry

    now_ns = time.time_ns()
    command.id = secrets.token_hex(16)
    command.issuer = re.sub(r"[^A-Za-z0-9_-]", "_", getpass.getuser())[:64]
    command.not_after_ns = now_ns + round(min(common.seconds(for_), 86_400.0) * 1e9)
    found = None
    with Registry(data) as registry:
        commands.prepare(registry)
        commands.send(registry, signing.load(data), command, now_ns)
        until_s = time.monotonic() + wait_s
        while found is None and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
            found = commands.result(registry, command.id)
    _print(command, found, as_json=as_json)
    if found is not None and found.outcome != 1:
        raise typer.Exit(1)


def _print(
    command: fleet_pb2.Command, found: fleet_pb2.CommandResult | None, *, as_json: bool
) -> None:
    from google.protobuf.json_format import MessageToDict

    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.cli import output

    outcome, told = "pending", {}
    if found is not None:
        outcome = fleet_pb2.CommandOutcome.Name(found.outcome).removeprefix("COMMAND_").lower()
        told = MessageToDict(found, preserving_proto_field_name=True)
    shown: dict[str, Any] = {**told, "id": command.id, "outcome": outcome}
    if as_json:
        output.print_json(shown)
        return
    rows = [("outcome", outcome), ("detail", shown.get("detail", "-"))]
    for one in shown.get("values", []):
        value = next((v for k, v in one.items() if k.endswith("_value")), "-")
        rows.append((f"{one['device']}/{one['tag']}", f"{value} {one.get('unit', '')}".rstrip()))
    output.table(("id", command.id), rows)
