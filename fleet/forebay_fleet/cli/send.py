"""The commands that have a box do something now: send read|write|restart|log-level|bundle GATEWAY.

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


@send.command("log-level")
def log_level(  # noqa: PLR0913 - each is an option of the command
    gateway: Name,
    level: Annotated[str, typer.Argument(help="debug, info, warning or error.")],
    data: common.Data = common.DATA,
    during: Annotated[str, typer.Option(help="How long, a day at most; then as before.")] = "30min",
    for_: For = "10min",
    reason: Reason = "",
    role: Role = "admin",
    wait: Wait = 30.0,
    *,
    as_json: common.Json = False,
) -> None:
    """Have a gateway log more, or less, for a while."""
    from forebay_fleet._proto import fleet_pb2

    command = fleet_pb2.Command(gateway=gateway, reason=reason, role=role)
    command.log_level.level, command.log_level.for_s = level, common.seconds(during)
    _send(data, command, for_, wait, as_json=as_json)


@send.command()
def bundle(
    gateway: Name,
    data: common.Data = common.DATA,
    for_: For = "1h",
    reason: Reason = "",
    role: Role = "admin",
    wait: Wait = 120.0,
    *,
    as_json: common.Json = False,
) -> None:
    """Have a gateway deliver a diagnostics bundle, a .tar.gz without secrets."""
    from forebay_fleet._proto import fleet_pb2

    command = fleet_pb2.Command(gateway=gateway, reason=reason, role=role)
    command.bundle.SetInParent()
    _send(data, command, for_, wait, as_json=as_json)


@send.command()
def result(
    command_id: Annotated[str, typer.Argument(help="As it was shown.", show_default=False)],
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """Show what became of a command that was sent before."""
    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.desired import commands
    from forebay_fleet.errors import UsageError
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        commands.prepare(registry)
        found, until_ns = commands.result(registry, command_id), commands.ends(registry, command_id)
    if until_ns is None:
        raise UsageError("no such command was sent", hint="copy the whole id")
    command = fleet_pb2.Command(id=command_id, not_after_ns=until_ns)
    _end(data, command, found, as_json=as_json)


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
    import re
    import secrets
    import time

    from google.protobuf.json_format import MessageToDict

    from forebay_fleet.access import trail
    from forebay_fleet.desired import commands, signing
    from forebay_fleet.registry import Registry

    now_ns = time.time_ns()
    command.id = secrets.token_hex(16)
    command.issuer = re.sub(r"[^A-Za-z0-9_-]", "_", common.user())
    command.not_after_ns = now_ns + round(min(common.seconds(for_), 86_400.0) * 1e9)
    found = None
    with Registry(data) as registry:
        commands.prepare(registry)
        trail.prepare(registry)
        action = command.WhichOneof("action") or ""
        details: dict[str, object] = {"id": command.id, "role": command.role}
        if action == "write":
            details |= MessageToDict(command.write, preserving_proto_field_name=True)
        also = common.noted(f"command.{action}", command.gateway, command.reason, details)
        commands.send(registry, signing.load(data), command, now_ns, also)
        until_s = time.monotonic() + wait_s
        while found is None and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
            found = commands.result(registry, command.id)
    _end(data, command, found, as_json=as_json)


def _end(
    data: Path,
    command: fleet_pb2.Command,
    found: fleet_pb2.CommandResult | None,
    *,
    as_json: bool,
) -> None:
    """Say what is known; exit 1 for a command that was not done."""
    outcome = _print(data, command, found, as_json=as_json)
    if outcome not in {"done", "pending"}:
        raise typer.Exit(1)


def _print(
    data: Path,
    command: fleet_pb2.Command,
    found: fleet_pb2.CommandResult | None,
    *,
    as_json: bool,
) -> str:
    """Print it; give the outcome in a word."""
    import time

    from google.protobuf.json_format import MessageToDict

    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.cli import output

    outcome, told = "expired" if command.not_after_ns < time.time_ns() else "pending", {}
    if found is not None:
        outcome = common.word(fleet_pb2.CommandOutcome, found.outcome, "COMMAND_")
        told = MessageToDict(found, preserving_proto_field_name=True)
        if found.bundle_sha256:
            told["bundle_sha256"] = found.bundle_sha256.hex()
            told["file"] = str(_file(data, command.id) or "-")
    shown: dict[str, Any] = {**told, "id": command.id, "outcome": outcome}
    if as_json:
        output.print_json(shown)
        return outcome
    rows = [("outcome", outcome), ("detail", shown.get("detail", "-"))]
    rows += [("file", shown["file"])] if "file" in shown else []
    for one in shown.get("values", []):
        value = next((v for k, v in one.items() if k.endswith("_value")), "-")
        rows.append((f"{one['device']}/{one['tag']}", f"{value} {one.get('unit', '')}".rstrip()))
    output.table(("id", command.id), rows)
    return outcome


def _file(data: Path, command_id: str) -> Path | None:
    """Give the file that a command brought, None if it was removed since."""
    from forebay_fleet.desired import bundles

    return next((data / bundles.FOLDER).glob(f"*/{command_id}{bundles.SUFFIX}"), None)
