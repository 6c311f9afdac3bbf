"""`forebay plugins install` and `remove`: what is on disk of plugins.

Owns the order: judge, copy, start once, take into use, tell the agent. Must not know what an
archive looks like, nor how a plugin is run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.config import places
from forebay.control import address
from forebay.errors import (
    AgentUnreachable,
    ConfigError,
    ForebayError,
    RequestFailed,
    RequestInvalid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.control.client import AgentClient
    from forebay.errors import Fault
    from forebay.pluginhost.installed import Installed
    from forebay.pluginhost.manifest import Manifest

Source = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", readable=False, help="The plugin's folder, or a .tar.gz or .zip of it."
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar="FOREBAY_STATE",
        readable=False,
        help="The agent's directory of all that is kept; else the running agent is asked for it.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Although the configuration names it.")]
Plugin = Annotated[str, typer.Argument(metavar="PLUGIN", help="Name of the installed plugin.")]


def add(group: typer.Typer) -> None:
    """Add the commands to the group."""
    group.command("install")(install)
    group.command("remove")(remove)


def install(
    source: Source,
    state: State = None,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Install a plugin, or another version of it; a running agent takes it up at once.

    It is copied, its manifest is checked, and it is started once: only one that starts is used.
    Where the agent's own does not get ready with it, the version before stays.
    """
    with call.reporting(as_json=as_json):
        installed = _installed(state, socket)
        manifest, sdk = _bring(source.absolute(), installed)
        name, version = manifest.plugin.name, manifest.plugin.version
        taken_up = _take_up(installed, name, version, socket)
        directory = installed.home / name / version
        if as_json:
            found = {"plugin": name, "version": version, "directory": str(directory), "sdk": sdk}
            output.document({**found, "taken_up": taken_up})
            return
        print(f"{name} {version} is installed in {directory}")
        for one in taken_up:
            print(f"{one} runs it now")
        if not taken_up:
            print(f'next: a table [plugins.NAME] with plugin = "{name}", and restart the agent')


def _installed(state: Path | None, socket: Path) -> Installed:
    """Give what is installed: of `state`, else of the running agent, else where it usually is."""
    from forebay.pluginhost.installed import Installed

    if state is None:
        try:
            with agent_at(socket) as agent:
                state = Path(agent.plugins().state)
        except AgentUnreachable:
            state = places.STATE
    return Installed(state.absolute())


def _bring(source: Path, installed: Installed) -> tuple[Manifest, str]:
    """Bring the plugin to its place and start it once; give its manifest, and what speaks in it."""
    from forebay.config.plugins import read_manifest
    from forebay.pluginhost import unpack
    from forebay.pluginhost.installed import MARK
    from forebay.pluginhost.probe import probe

    if not source.exists():
        raise RequestInvalid(f"there is no {source}", hint="name a folder or an archive")
    with _room(installed) as room:
        unpack.take(source, room)
        faults: list[Fault] = []
        manifest = read_manifest(room, str(source), faults)
        if manifest is None:
            raise ConfigError(faults)
        name, version = manifest.plugin.name, manifest.plugin.version
        if installed.current(name) == installed.home / name / version:
            raise RequestInvalid(
                f"{name} {version} is installed already, and in use",
                hint="give what is new another version in plugin.toml, or remove the old one",
            )
        if (installed.home / name / version / MARK).exists():
            raise RequestInvalid(
                f"{name} {version} came by the fleet",
                hint="give what is new another version in plugin.toml",
            )
        directory = installed.place(room, name, version)
    try:
        return manifest, asyncio.run(probe(manifest, directory))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


@contextmanager
def _room(installed: Installed) -> Iterator[Path]:
    """Give a place to bring a plugin to, and leave nothing of it; RequestFailed if it cannot be."""
    room: Path | None = None
    try:
        room = installed.room()
        yield room
    except OSError as error:
        raise RequestFailed(
            f"cannot install into {installed.home}: {error.strerror or error}",
            hint="run it as a user who may write there, or name another --state",
        ) from error
    finally:
        if room is not None:
            shutil.rmtree(room, ignore_errors=True)


def _take_up(installed: Installed, name: str, version: str, socket: Path) -> list[str]:
    """Make the version the current one, and have a running agent use it; give who does.

    RequestFailed, with the version before in use again, if one of the agent's does not get ready.
    """
    before = installed.current(name)
    installed.use(name, version)
    try:
        with agent_at(socket) as agent:
            reply = agent.refresh_plugins(name)
    except AgentUnreachable:
        return []
    except ForebayError:
        _go_back(installed, name, before)
        raise
    if not reply.failed:
        return list(reply.done)
    _go_back(installed, name, before)
    if before is not None:
        stuck = False
        if reply.done:  # some took it up: they go back, too
            with agent_at(socket) as agent:
                stuck = bool(agent.refresh_plugins(name).failed)
        if not stuck:
            installed.forget(name, version)
    stays = f"{before.name} stays" if before else "it is not installed"
    raise RequestFailed(
        f"{name} {version} does not get ready, {stays}: {'; '.join(reply.failed)}",
        hint="look at what it printed: forebay plugins logs NAME",
    )


def _go_back(installed: Installed, name: str, before: Path | None) -> None:
    if before is None:
        installed.take_back(name)
    else:
        installed.use(name, before.name)


@contextmanager
def agent_at(socket: Path) -> Iterator[AgentClient]:
    """Give a connection to the agent; AgentUnreachable if none answers."""
    address.check(socket.absolute())  # before grpc is loaded: the answer is often no
    from forebay.control.client import AgentClient

    with AgentClient(socket) as client:
        yield client


def remove(
    plugin: Plugin,
    state: State = None,
    socket: call.Socket = call.SOCKET,
    *,
    force: Force = False,
    as_json: call.Json = False,
) -> None:
    """Remove every version of an installed plugin. Refuses while the configuration names it."""
    with call.reporting(as_json=as_json):
        installed = _installed(state, socket)
        if plugin not in installed.names():
            known = ", ".join(installed.names()) or "none"
            raise RequestInvalid(f"{plugin} is not installed", hint=f"installed are: {known}")
        users = _users(plugin, socket)
        if users and not force:
            raise RequestInvalid(
                f"{plugin} is used by {', '.join(f'[plugins.{one}]' for one in users)}",
                hint="take it out of the configuration and restart the agent, or use --force",
            )
        versions = installed.versions(plugin)
        try:
            installed.remove(plugin)
        except OSError as error:
            raise RequestFailed(
                f"cannot remove {installed.home / plugin}: {error.strerror or error}",
                hint="run it as a user who may write there",
            ) from error
        if as_json:
            output.document({"plugin": plugin, "versions": list(versions), "used_by": users})
        else:
            print(f"{plugin} is removed: {', '.join(versions)}")


def _users(plugin: str, socket: Path) -> list[str]:
    """Give the tables that name an installed plugin: of the running agent, or else of its file."""
    from forebay.config.sources import read_sources

    try:
        with agent_at(socket) as agent:
            return [one.name for one in agent.plugins().plugins if one.installed == plugin]
    except AgentUnreachable:
        path = Path(os.environ.get("FOREBAY_CONFIG") or places.CONFIG)
        tables = read_sources(path).tables.get("plugins") if path.exists() else None
    if not isinstance(tables, dict):
        return []
    return [
        name
        for name, table in tables.items()
        if isinstance(table, dict) and table.get("plugin") == plugin
    ]
