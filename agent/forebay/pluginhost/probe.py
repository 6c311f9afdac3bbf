"""Starts a plugin once to see whether it is one: it must run, call, and speak our protocol.

Owns that trial, which leaves nothing behind. Must not know settings: what a plugin makes of them is
only seen where it is configured.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.clock import SystemClock
from forebay.errors import PluginUnavailable
from forebay.pluginhost import means, sandbox
from forebay.pluginhost.channel import Channel
from forebay.pluginhost.logs import PluginLog
from forebay.pluginhost.process import Process
from forebay.pluginhost.settings import Instance

if TYPE_CHECKING:
    from forebay.pluginhost.manifest import Manifest

NAME = "install"
"""What the plugin is called meanwhile."""


async def probe(manifest: Manifest, directory: Path) -> str:
    """Start the plugin in `directory` and wait for its hello; give what speaks in it.

    Raises PluginError, with what it printed last, if it ends, is too slow or says anything else.
    """
    ground = Path(tempfile.mkdtemp(prefix="forebay-install-"))
    try:
        return await _hello(_instance(manifest, directory), ground)
    finally:
        await asyncio.to_thread(shutil.rmtree, ground, ignore_errors=True)


def _instance(manifest: Manifest, directory: Path) -> Instance:
    """Give the plugin as it would run where nobody set anything."""
    return Instance(
        name=NAME,
        manifest=manifest,
        directory=directory,
        inputs=manifest.inputs,
        outputs=(),
        window=manifest.window,
        start=manifest.plugin.start,
        limits=manifest.limits,
        sandbox="preferred",
        settings=manifest.settings,
    )


async def _hello(instance: Instance, ground: Path) -> str:
    clock, limits, token = SystemClock(), instance.limits, secrets.token_urlsafe(32)
    found = await means.probe()
    user = means.user_of(NAME) if found.bubblewrap == "own-user" else None
    cell = sandbox.Cell(
        directory=instance.directory,
        socket_directory=ground / "s",
        state_directory=ground / "state",
        readable=sandbox.readable(instance.command(), instance.directory),
        model=None,
        user=user,
    )
    await asyncio.to_thread(_make, cell)
    log = PluginLog(ground / "log", limits.log_lines_per_s, clock)
    socket = cell.socket_directory / sandbox.SOCKET
    channel = Channel(socket, token, (), limits.deadline, clock)
    process: Process | None = None
    try:
        await channel.open()
        await asyncio.to_thread(socket.chmod, 0o666)  # its directory lets nobody else in
        process = await Process.start(
            sandbox.arguments(found, cell, limits, instance.command()),
            sandbox.environment(found, cell, limits, token, os.environ),
            cell.state_directory,
            token,
            log,
            clock,
        )
        return await _first(channel, process, log, limits.start_timeout)
    finally:
        if process is not None:
            await process.kill()
        await channel.close()


def _make(cell: sandbox.Cell) -> None:
    """Make the directories of the process, for its own user if it has one."""
    for path in (cell.socket_directory, cell.state_directory):
        path.mkdir(mode=0o700)
        if cell.user is not None:
            os.chown(path, cell.user, cell.user)
            path.parent.chmod(0o711)


async def _first(channel: Channel, process: Process, log: PluginLog, limit_s: float) -> str:
    """Wait for the hello, the process's end, or the limit, whatever comes first."""
    hello = asyncio.create_task(channel.attached(), name="plugin-hello")
    ended = asyncio.create_task(process.wait(), name="plugin-exit")
    try:
        await asyncio.wait((hello, ended), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if hello.done() and hello.exception() is None:
            return hello.result()
        if ended.done():
            said = "\n".join(log.tail(20))
            raise PluginUnavailable(
                f"the plugin does not start: its process {ended.result().words}",
                hint=f"mend it; it printed:\n{said}" if said else "mend it: it printed nothing",
                kind="start",
            )
        if hello.done():
            return hello.result()
        raise PluginUnavailable(
            f"the plugin did not call within {limit_s:g} s of its start",
            hint="mend it, or set limits.start_timeout in its plugin.toml",
            kind="start",
        )
    finally:
        hello.cancel()
        ended.cancel()
        await asyncio.gather(hello, ended, return_exceptions=True)
