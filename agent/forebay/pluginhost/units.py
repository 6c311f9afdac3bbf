"""The units of systemd that plugins run in, where the agent itself is a service and they are there.

Owns their names, their limits as properties, and the calls of `systemctl`. The agent has no rights
of its own: a rule of polkit lets its user start, stop and limit these units and no others. Must not
know what runs in them.

A plugin has two units, because at a swap of versions two of its processes run: both are of one user
and have one state directory.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

from forebay.cancellation import strict
from forebay.errors import PluginUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay.pluginhost.manifest import Limits

BOOTED = Path("/run/systemd/system")
"""There is systemd where this is (sd_booted(3))."""
CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
STATE = Path("/var/lib/forebay-plugin")
CALL_S = 30.0
OVERHEAD_TASKS, OVERHEAD_BYTES = 8, 32 << 20
"""What the launcher takes itself, beside the plugin."""
_MOST_MADE_READABLE = 100_000
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,23}")
_SAID = 300


def instance_of(name: str) -> str:
    """Give what stands behind the `@` for the plugin instance `name`.

    `fbp-` before it must be a user's name (systemd: strict names of users, at most 31 characters),
    so a long or an odd name is cut and gets a checksum.
    """
    if _PLAIN.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9_-]", "-", name.lower()).strip("_-")[:15]
    return f"{plain}-{zlib.crc32(name.encode()):08x}".lstrip("-")


def unit_of(name: str, *, beside: bool) -> str:
    """Give the unit of the plugin instance `name`; `beside` says that the first one is in use."""
    template = "forebay-plugin-next" if beside else "forebay-plugin"
    return f"{template}@{instance_of(name)}.service"


def home(environ: Mapping[str, str]) -> Path | None:
    """Give where sockets of plugins in units are; None if the agent is no service of systemd."""
    runtime = environ.get("RUNTIME_DIRECTORY", "")
    if not runtime or not environ.get("INVOCATION_ID") or not BOOTED.is_dir():
        return None
    return Path(runtime.split(":", 1)[0]) / "plugins"


def properties(limits: Limits) -> Iterator[str]:
    """Give `limits` as properties of a unit (systemd.resource-control(5))."""
    yield f"MemoryMax={limits.memory + OVERHEAD_BYTES}"
    yield f"TasksMax={limits.processes + OVERHEAD_TASKS}"
    yield f"CPUQuota={max(1, round(limits.cpu * 100))}%"


def limited() -> bool:
    """Whether the kernel holds units to their memory and tasks: control groups of version 2."""
    with suppress(OSError):
        return {"memory", "pids"} <= set(CONTROLLERS.read_text(encoding="ascii").split())
    return False


async def probe(name: str, environ: Mapping[str, str]) -> str:
    """Find out whether `name` may run in a unit, by ending what is left of it there.

    Gives why not; empty if it may.
    """
    if home(environ) is None:
        return "the agent is no service of systemd with a runtime directory"
    for beside in (False, True):
        unit = unit_of(name, beside=beside)
        try:
            if await systemctl("show", "--property=LoadState", "--value", unit) != "loaded":
                return f"{unit} is not installed"
            await systemctl("stop", unit)
        except PluginUnavailable as error:
            return str(error)
    return ""


async def systemctl(*words: str) -> str:
    """Run `systemctl`; give what it printed. PluginUnavailable if it fails or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            "systemctl", "--no-ask-password", *words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        raise _refused(f"systemctl cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(CALL_S):
            out, said = await strict(process.communicate)
    except TimeoutError:
        raise _refused(f"systemctl {words[0]} did not end within {CALL_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        why = " ".join(said.decode(errors="replace").split())[:_SAID]
        raise _refused(f"systemctl {words[0]}: {why or f'status {process.returncode}'}")
    return out.decode(errors="replace").strip()


def let_read(path: Path) -> None:
    """Let other users read all in `path` that is ours, and pass the directories above. Blocks.

    A plugin's unit has a user of its own. What is in a plugin is no secret; the directories above
    can be passed, not listed. OSError if it cannot be.
    """
    user = os.geteuid()
    for above in path.resolve().parents:
        status = above.stat()
        if status.st_uid == user and not status.st_mode & stat.S_IXOTH:
            above.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
    seen = 0
    for _, directories, files, place in os.fwalk(path):
        for one in (".", *directories, *files):
            seen += 1
            if seen > _MOST_MADE_READABLE:
                return
            _open(one, place, user)


def _open(name: str, place: int, user: int) -> None:
    status = os.stat(name, dir_fd=place, follow_symlinks=False)
    if status.st_uid != user or stat.S_ISLNK(status.st_mode):
        return
    more = stat.S_IROTH
    if stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR:
        more |= stat.S_IXOTH
    if status.st_mode & more != more:
        os.chmod(name, stat.S_IMODE(status.st_mode) | more, dir_fd=place)


def _refused(what: str) -> PluginUnavailable:
    return PluginUnavailable(
        what,
        hint="see docs/guides/systemd.md: the units and the rule of polkit must be installed",
        kind="start",
    )
