"""`forebay restart`, `forebay log`, `forebay bundle`: looks after the running agent.

Owns the arguments and the file of a diagnostics bundle. Must not know what is in one.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.config import places
from forebay.errors import ForebayError, RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay._proto.control_pb2 import LogLine
    from forebay.control.client import AgentClient

FOLLOW_S = 0.5
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

Part = Annotated[
    list[str],
    typer.Argument(
        metavar="PART...",
        help="agent, or device, uplink, plugin and a name.",
        show_default=False,
    ),
]
Lines = Annotated[int, typer.Option(min=1, max=1_000, help="How many of the newest.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with what comes.")]
Level = Annotated[str, typer.Argument(help="debug, info, warning or error.", show_default=False)]
For = Annotated[str, typer.Option("--for", help="How long, a day at most; then as configured.")]
File = Annotated[
    Path,
    typer.Argument(readable=False, metavar="FILE", help="A new .tar.gz.", show_default=False),
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command `name`, which is `restart`, `log` or `bundle`, to `app`."""
    if name == "log":
        group = typer.Typer()
        group.callback(invoke_without_command=True)(log)
        group.command("level")(level)
        app.add_typer(group, name=name)
    else:
        app.command(name)(restart if name == "restart" else bundle)


def restart(part: Part, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """End a part of the agent and begin it again; the others go on."""
    name = " ".join(part)
    with call.agent(socket, as_json=as_json) as agent:
        agent.restart_part(name)
    _said({"restarted": name}, f"restarted  {name}", as_json=as_json)


def log(
    context: typer.Context,
    socket: call.Socket = call.SOCKET,
    *,
    lines: Lines = 100,
    follow: Follow = False,
    as_json: call.Json = False,
) -> None:
    """Show what the agent logged lately. With --json and --follow, one document a line."""
    if context.invoked_subcommand is not None:
        return
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.log(limit=lines)
        if as_json and not follow:
            output.document(output.plain(reply))
            return
        try:
            _show_on(agent, reply.lines, follow=follow, as_json=as_json)
        except KeyboardInterrupt:
            return


def _show_on(agent: AgentClient, found: Sequence[LogLine], *, follow: bool, as_json: bool) -> None:
    pause, after = threading.Event(), 0
    while True:
        for line in found:
            after = line.number
            if as_json:
                output.document(output.plain(line))
            else:
                for part in COLOUR.sub("", line.text).splitlines():
                    print(output.clean(part), flush=True)
        if not follow:
            return
        pause.wait(FOLLOW_S)
        found = agent.log(after, 1_000).lines


def level(
    wanted: Level,
    for_: For = "30min",
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Log more, or less, for a while. A restart ends it."""
    from forebay.settings import parse_duration

    with call.reporting(as_json=as_json):
        try:
            for_s = float(parse_duration(for_))
        except (TypeError, ValueError) as error:
            raise RequestInvalid(
                f"{for_!r} is no span of time: {error}", hint="write 30min or 2h"
            ) from error
    with call.agent(socket, as_json=as_json) as agent:
        agent.log_level(wanted, for_s)
    told = {"level": wanted, "for_s": for_s}
    _said(told, f"logging  from {wanted} on, for {output.duration(int(for_s))}", as_json=as_json)


def bundle(
    path: File,
    socket: call.Socket = call.SOCKET,
    *,
    config: call.Config = places.CONFIG,
    as_json: call.Json = False,
) -> None:
    """Write a diagnostics bundle: all that helps to find what is wrong, and no secrets."""
    size = 0
    with call.agent(socket, as_json=as_json) as agent:
        found = _doctor(config, socket)
        if path.exists():
            raise RequestInvalid(f"{path} is there already", hint="name a new file")
        try:  # a new file, for nobody else
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise RequestInvalid(f"{path}: {error.strerror}", hint="name a new file") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in agent.support(found):
                    size += file.write(piece.data)
            if not size:
                raise RequestFailed("the agent gave nothing", hint="see its log")
            Path(temporary).replace(path)
        except OSError as error:
            raise RequestInvalid(f"{path}: {error.strerror}", hint="name a new file") from error
        finally:
            Path(temporary).unlink(missing_ok=True)
    told = {"file": str(path), "bytes": size}
    _said(told, f"{path}: {output.size(size)}; look into it before you hand it on", as_json=as_json)


def _doctor(config: Path, socket: Path) -> str:
    """Give what the doctor finds, as JSON; what keeps it from looking stops no bundle."""
    from forebay.agent import system_seams
    from forebay.cli.doctor import documents, examined
    from forebay.control.limits import DOCTOR_BYTES

    try:
        found = json.dumps(documents(examined(config, socket, system_seams())))
    except (ForebayError, OSError) as error:
        found = json.dumps({"error": str(error)})
    return found if len(found.encode()) <= DOCTOR_BYTES else json.dumps({"error": "too much"})


def _said(told: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        output.document(told)
    else:
        print(output.clean(text))
