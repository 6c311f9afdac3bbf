"""`forebay fleet`: who this box is in its fleet.

Owns the arguments and what is printed. The commands work on the state directory, with an agent
running or without: a running one notices within seconds.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.cli.owner import become_owner
from forebay.config import places
from forebay.errors import ConfigError, Fault, FleetRefused, FleetUnavailable, RequestInvalid
from forebay.files import SystemDisk
from forebay.identity import ENROLL_HINT, FOLDER, NOT_ENROLLED, Identity, IdentityStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from rich.console import RenderableType

ENROLLMENT_PORT = 7444
MAX_TOKEN_BYTES = 4096
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="FOREBAY_CONFIG",
        readable=False,
        help="The configuration, for the gateway's id.",
    ),
]


def add(app: typer.Typer, name: str) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="Enroll this box in a fleet, and see who it is.", no_args_is_help=True)
    group.command("enroll")(enroll)
    group.command("status")(status)
    app.add_typer(group, name=name)


def enroll(
    server: Annotated[
        str, typer.Option(help=f"The fleet server, HOST or HOST:PORT (port {ENROLLMENT_PORT}).")
    ],
    token: Annotated[
        str,
        typer.Option(
            envvar="FOREBAY_JOIN_TOKEN",
            show_envvar=True,
            help="The join token, or - to read it from standard input.",
        ),
    ],
    gateway: Annotated[
        str | None, typer.Option(help="The id to have; default: that of the configuration.")
    ] = None,
    config: Config = places.CONFIG,
    *,
    as_json: call.Json = False,
) -> None:
    """Make this box part of a fleet by a join token; the key is made here and never leaves."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with call.reporting(as_json=as_json):
        address = _address(server)
        if token == "-":  # noqa: S105 - a dash, as everywhere, is standard input
            token = sys.stdin.read(MAX_TOKEN_BYTES)
        name = gateway or _configured(config)
        become_owner(places.state_directory(os.environ))
        store = _store()
        lock = store.lock()
        if lock is None:
            hint = "try again in a moment"
            raise FleetUnavailable("the identity is being renewed right now", hint=hint)
        try:
            from forebay.management import certifying

            identity = asyncio.run(_enrolled(certifying.enroll(store, address, token, name), store))
        finally:
            lock.close()
    if as_json:
        output.document(_described(identity))
    else:
        output.show(_parts(identity))


async def _enrolled(asked: Awaitable[Identity], store: IdentityStore) -> Identity:
    """Wait for it; who is enrolled already is told so beside a token that is used up."""
    try:
        return await asked
    except FleetRefused as error:
        known = store.current()
        if known is None or error.code != "token":
            raise
        hint = f"this box is {known.gateway!r} already: forebay fleet status; else {error.hint}"
        raise FleetRefused(str(error), hint=hint, code=error.code) from error


def status(socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """Show who this box is in its fleet, and its line there; exit 1 if it is not enrolled."""
    with call.reporting(as_json=as_json):
        identity = _store().current()
        if identity is None:
            raise FleetRefused(NOT_ENROLLED, hint=ENROLL_HINT, code="not_enrolled")
        link = _link(socket)
        if as_json:
            output.document({**_described(identity), "link": link})
        else:
            output.show([*_parts(identity), *_line(link)])


def _link(socket: Path) -> dict[str, Any]:
    """Give how the line is, as the agent says; the agent need not run."""
    from forebay.control import address
    from forebay.control.client import AgentClient
    from forebay.errors import ControlError

    try:
        address.check(socket.absolute())
        with AgentClient(socket.absolute()) as asked:
            reply = asked.fleet()
    except ControlError as error:
        return {"state": "unknown", "last_error": str(error), "last_hint": error.hint}
    return {field.name: getattr(reply, field.name) for field in reply.DESCRIPTOR.fields}


def _line(link: dict[str, Any]) -> Iterator[RenderableType]:
    state = link["state"]
    if state == "connected":
        state += f" for {output.duration(int(link['connected_s']))}"
    elif state == "waiting":
        state += f", tried again in {output.duration(int(link['next_try_s']))}"
    yield Text(f"line         {state}")
    if link["last_error"]:
        yield Text(f"  because    {output.clean(link['last_error'])}")
        yield Text(f"  try        {output.clean(link['last_hint'])}")
    if link.get("last_offer"):
        yield Text(f"last offer   {output.clean(link['last_offer'])}")
    if link.get("refused"):
        yield Text(f"  refused    {output.clean(link['refused'])}")
        yield Text(f"  try        {output.clean(link['refused_hint'])}")


def _store() -> IdentityStore:
    return IdentityStore(places.state_directory(os.environ) / FOLDER, SystemDisk())


def _address(server: str) -> tuple[str, int]:
    """Give host and port. RequestInvalid for what is no address."""
    match = _ADDRESS.fullmatch(server)
    host = (match[1] or match[2]) if match else ""
    port = (match[3] or str(ENROLLMENT_PORT)) if match else "0"
    if not 0 < int(port) < 65_536:
        raise RequestInvalid(
            f"{server!r} is no address", hint="write fleet.example.org or fleet.example.org:7444"
        )
    return host, int(port)


def _configured(path: Path) -> str:
    """Give the gateway's id of a configuration. ConfigError if it says none."""
    from forebay.config.sources import read_sources

    sources = read_sources(path)
    found: Any = sources.tables.get("gateway") if sources.tables else None
    name = found.get("id") if isinstance(found, dict) else None
    if isinstance(name, str) and name:
        return name
    hint = "name it: --gateway ID, or --config PATH"
    faults = [replace(fault, hint=f"{fault.hint}, or {hint}") for fault in sources.faults]
    raise ConfigError(faults or [Fault("gateway.id", "is missing", hint)])


def _described(identity: Identity) -> dict[str, Any]:
    begin, end = identity.valid()
    now = datetime.now(UTC)
    return {
        "gateway": identity.gateway,
        "instance": identity.instance_uid.hex(),
        "address": identity.address,
        "enrollment_address": identity.enrollment_address,
        "generation": identity.generation,
        "valid_from": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
        "valid_until": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "valid": begin <= now < end,
        "expires_s": (end - now).total_seconds(),
    }


def _parts(identity: Identity) -> Iterator[RenderableType]:
    told = _described(identity)
    left = told["expires_s"]
    span = (
        f"in {output.duration(int(left))}" if left > 0 else "EXPIRED: it recovers by itself, once"
    )
    yield Text(f"gateway      {identity.gateway}")
    yield Text(f"fleet        {identity.address}")
    yield Text(f"certificate  number {identity.generation}, until {told['valid_until']}, {span}")
