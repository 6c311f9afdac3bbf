"""`forebay doctor`: names the fault and the next step, with an agent that runs or without.

Owns what is looked at, and how it is shown. Must not know how anything is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.config import places
from forebay.errors import AgentForbidden, AgentUnreachable, ConfigError, ControlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.cli.doctor.finding import Finding
    from forebay.config.load import LoadedConfig
    from forebay.interfaces import Seams

STYLES = {
    "fault": output.BAD,
    "warning": output.ODD,
    "unknown": output.QUIET,
    "ok": output.GOOD,
}


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(doctor)


def doctor(
    config: call.Config = places.CONFIG,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Look for what is wrong: one line each, worst first, with the next step. Changes nothing."""
    from forebay.agent import system_seams
    from forebay.cli.doctor.finding import FAULT

    with call.reporting(as_json=as_json):
        found = examined(config, socket, system_seams())
    if as_json:
        output.document(documents(found))
    else:
        output.show(_lines(found))
    if any(one.level == FAULT for one in found):
        raise typer.Exit(call.EXIT_FAILURE)


def documents(found: list[Finding]) -> dict[str, Any]:
    """Give what was found as JSON can say it."""
    from forebay.cli.doctor.finding import FAULT

    every = [{**one._asdict(), "page": one.page} for one in found]
    return {"ok": not any(one.level == FAULT for one in found), "findings": every}


def _lines(found: list[Finding]) -> Iterator[Text]:
    for one in found:
        line = Text.assemble((f"{one.level:8}", STYLES[one.level]), f" {one.name}: ")
        line.append(output.clean(one.text))
        yield line
        if one.hint:
            yield Text(f"         next: {output.clean(one.hint)}")
            yield Text(f"         see:  {one.page}", output.QUIET)


def examined(config: Path, socket: Path, seams: Seams) -> list[Finding]:
    """Look at everything; give what was found, worst first."""
    from forebay.cli.doctor import machine
    from forebay.cli.doctor.finding import FAULT, OK, Finding, ordered
    from forebay.cli.doctor.wear import wear

    found = list(machine.clock(seams.clock))
    state = places.state_directory(os.environ)
    found += machine.disk(state, seams.disk)
    found += wear(state)
    found += machine.state(state)
    loaded = None
    try:
        loaded = _loaded(_file(config, socket))
    except ConfigError as error:
        found += [
            Finding(FAULT, "configuration", "", f"{fault.path}: {fault.message}", fault.hint)
            for fault in error.faults
        ]
    else:
        from forebay.cli.check import summary

        found.append(Finding(OK, "configuration", "", summary(loaded)))
    fleet = loaded is not None and any(
        getattr(one.settings, "identity", None) for one in loaded.uplinks if one.settings.enabled
    )
    found += machine.identity(state, seams.disk, needed=fleet)
    try:
        found += _told(socket)
    except AgentForbidden as error:
        found.append(Finding(FAULT, "agent", "", str(error), error.hint))
    except AgentUnreachable as error:
        hint = "systemctl status forebay, journalctl -u forebay; or: forebay run --config FILE"
        found.append(Finding(FAULT, "agent", "", f"none runs: {error}", hint))
        if loaded is not None:
            found += machine.journal(loaded.config.journal.directory, seams.disk)
            found += asyncio.run(_tried(loaded, seams))
    except ControlError as error:
        found.append(Finding(FAULT, "agent", "", str(error), error.hint))
    return ordered(found)


def _file(config: Path, socket: Path) -> Path:
    """Give the file to read: where nobody named one that is there, the one of the running agent."""
    from forebay.cli.doctor.paths import is_there
    from forebay.control import address
    from forebay.control.client import AgentClient

    if config == places.CONFIG and not is_there(config):
        with contextlib.suppress(ControlError):
            address.check(socket.absolute())
            with AgentClient(socket.absolute()) as agent:
                return Path(agent.config().file or config)
    return config


def _told(socket: Path) -> list[Finding]:
    from forebay.cli.doctor import parts
    from forebay.control import address
    from forebay.control.client import AgentClient

    address.check(socket.absolute())
    with AgentClient(socket.absolute()) as agent:
        return list(parts.told(agent))


async def _tried(loaded: LoadedConfig, seams: Seams) -> list[Finding]:
    from forebay.cli.doctor import parts

    return [one async for one in parts.tried(loaded, seams)]


def _loaded(config: Path) -> LoadedConfig:
    """Load the configuration. ConfigError, with what time alone brought about among the faults."""
    from forebay.cli.check import load

    loaded = load(config)
    if stale := [one for one in loaded.warnings if not one.awaited]:
        raise ConfigError(stale)
    return loaded
