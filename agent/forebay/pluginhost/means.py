"""Finds out what this machine offers for holding a plugin, by trying it.

Owns the trial of bubblewrap and the user that a plugin gets where the agent is root. Must not know
command lines of plugins: `sandbox` builds them.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import zlib
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Literal

from forebay.cancellation import strict
from forebay.pluginhost import units
from forebay.pluginhost.sandbox import Means, namespaces

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIAL_S = 10.0
FIRST_USER, LAST_USER = 61_184, 65_519
"""Where systemd, too, takes users that it makes for one service (systemd.exec, DynamicUser=)."""

Way = Literal["user-namespace", "own-user"]


async def probe(name: str = "") -> Means:
    """Give what works here: a unit of systemd for the plugin instance `name`, if one is named.

    Else it runs `true` in each way of bubblewrap until one works: 0.1 s.
    """
    root = os.geteuid() == 0
    home = units.home(os.environ) if name else None
    unitless = await units.probe(name, os.environ) if home else ""
    if home and not unitless:
        return Means(
            None,
            prlimit=False,
            choom=False,
            setpriv=False,
            taskset=False,
            units=home,
            grouped=units.limited(),
        )
    ways: tuple[Way, ...] = ("own-user", "user-namespace") if root else ("user-namespace",)
    found: Way | None = None
    why = "bubblewrap is not installed"
    if shutil.which("bwrap") is not None:
        for way in ways:
            why = await _trial(way)
            if not why:
                found = way
                break
    return Means(
        bubblewrap=found,
        prlimit=shutil.which("prlimit") is not None,
        choom=shutil.which("choom") is not None,
        setpriv=shutil.which("setpriv") is not None,
        taskset=shutil.which("taskset") is not None and _may_pin(),
        root=root,
        why=f"{unitless}; {why}" if unitless and found is None else why,
    )


def _may_pin() -> bool:
    """Whether this process may say which cores are used: a unit of systemd may refuse the call."""
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))
    except OSError:
        return False
    return True


def user_of(name: str) -> int:
    """Give the numeric user for the plugin instance `name`: always the same, of nobody else here.

    Two plugins may get the same by chance, one in four thousand.
    """
    span = LAST_USER - FIRST_USER + 1
    start = zlib.crc32(name.encode())
    for step in range(span):
        user = FIRST_USER + (start + step) % span
        try:
            pwd.getpwuid(user)
        except KeyError:
            return user
    return FIRST_USER


async def _trial(way: Way) -> str:
    """Run `true` by bubblewrap; give what was in the way, nothing if it worked."""
    command = ["bwrap", *namespaces(way), "--die-with-parent", "--new-session"]
    command += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--"]
    if way == "own-user":
        user = str(FIRST_USER)
        command += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]
    command.append("true")
    try:
        async with asyncio.timeout(TRIAL_S):
            return await _run(command)
    except TimeoutError:
        return f"bubblewrap did not end within {TRIAL_S:g} s"
    except OSError as error:
        return f"bubblewrap could not be run: {error.strerror}"


async def _run(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    try:
        _, said = await strict(process.communicate)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ""
    return said[:500].decode(errors="replace").strip() or f"status {process.returncode}"
