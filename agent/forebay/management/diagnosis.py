"""A diagnostics bundle: what somebody far away needs to see what is wrong with a box, no secrets.

Owns what goes in, how much of it, and that nothing goes in unsearched: each part passes the
`Redactor`. Must not know who asked, nor where the file goes.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib.metadata
import io
import json
import os
import platform
import re
import tarfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay import __version__
from forebay.config.sources import read_sources
from forebay.errors import ForebayError
from forebay.management import secrets
from forebay.management.redaction import GONE, Redactor, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from forebay.config.attempts import Rolling
    from forebay.interfaces import Seams
    from forebay.management.logtail import LogTail
    from forebay.management.runtime import Runtime

MAX_BYTES = 64 << 20
"""Of a bundle, as BundleCommand of fleet.proto has it."""
MAX_PART_BYTES, MAX_TOTAL_BYTES = 8 << 20, 48 << 20
"""Of what goes in, before it is compressed: gzip makes nothing larger than MAX_BYTES of it."""
MAX_SYSTEM_BYTES = 64 << 10
_SYSTEM = (
    *("/proc/loadavg", "/proc/meminfo", "/proc/uptime", "/proc/version", "/proc/mounts"),
    *("/proc/diskstats", "/proc/net/dev", "/proc/net/route", "/proc/net/sockstat"),
    *("/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory"),
    *("/proc/self/status", "/proc/self/limits", "/proc/self/io", "/proc/self/cgroup"),
    *("/etc/os-release", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max"),
)
_SHOWN = frozenset(
    {"FOREBAY_STATE", "FOREBAY_CONFIG", "FOREBAY_SOCKET", "FOREBAY_LIMITS", "FOREBAY_SLOT"}
    | {"LANG", "LC_ALL", "TZ"}
)
"""Variables whose values are told; of others nobody knows what they hold."""
_DOTS = re.compile(r"[^A-Za-z0-9]+")


class Diagnosis:
    """Of one agent."""

    def __init__(
        self,
        runtime: Runtime,
        rolling: Rolling,
        file: Path,
        tail: LogTail,
        seams: Seams,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Look at nothing yet; `file` is the configuration that a person wrote."""
        self._runtime, self._rolling, self._file = runtime, rolling, file
        self.tail, self._seams, self._environ = tail, seams, environ
        self.sections: Callable[[], Awaitable[Mapping[str, Any]]] = _none
        """Gives what local commands would show, by name; set once there is somebody to ask."""

    async def make(self, path: Path, beside: Mapping[str, Any] | None = None) -> int:
        """Write a bundle to `path`, a new file for this user alone; give its size in bytes.

        What is `beside` goes in by its name, without secrets, too. Raises OSError if the disk
        refuses it.
        """
        told = {**(beside or {}), **await self.sections()}
        running = await self._tables("running")
        wanted = await self._tables("desired")
        return await asyncio.to_thread(self._write, path, told, running, wanted)

    async def _tables(self, which: str) -> dict[str, Any]:
        """Give the tables of a configuration by its files' names; of other files that they are."""
        try:
            files = await self._rolling.contents(which)
        except ForebayError as error:
            return {"error": str(error)}
        return await asyncio.to_thread(_parsed, files)

    # --- in a thread ------------------------------------------------------------------------------

    def _write(
        self, path: Path, told: dict[str, Any], running: dict[str, Any], wanted: dict[str, Any]
    ) -> int:
        base = self._runtime.loaded.base or self._file.parent
        own = read_sources(self._file).tables
        redactor = Redactor(self._secrets((*running.values(), *wanted.values(), own), base))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            left = MAX_TOTAL_BYTES
            for name, text in self._parts(redactor, told, running, base):
                data = text.encode(errors="replace")[: min(MAX_PART_BYTES, left)]
                left -= len(data)
                entry = tarfile.TarInfo(f"forebay-support/{name}")
                entry.size, entry.mode = len(data), 0o600
                entry.mtime = self._seams.clock.now_ns() // 10**9
                archive.addfile(entry, io.BytesIO(data))
        return path.stat().st_size

    def _secrets(self, trees: tuple[Any, ...], base: Path) -> Iterator[str]:
        for tree in trees:
            if isinstance(tree, dict):
                yield from secrets.of_tables(tree, base)
        yield from secrets.of_environment(self._environ)
        yield from secrets.of_identity(self._runtime.loaded.state, self._seams.disk)

    def _parts(
        self, redactor: Redactor, told: dict[str, Any], running: dict[str, Any], base: Path
    ) -> Iterator[tuple[str, str]]:
        """Give each part with its name, the most telling first."""

        def tree(value: object) -> str:
            return json.dumps(redactor.tree(value), indent=1, sort_keys=True)

        yield "about.json", tree(self._about())
        yield "log.txt", "".join(f"{redactor.text(line)}\n" for line in self.tail.lines())
        shown = {name: _hidden(one, base) for name, one in running.items()}
        yield "config.json", json.dumps(redactor.tree(shown, by_name=False), indent=1)
        for name, value in told.items():
            yield f"{name}.json", tree(value)
        yield "environment.json", tree(self._variables())
        yield "versions.json", tree(_versions())
        yield "disks.json", tree(self._disks())
        for place in _SYSTEM:
            yield f"system/{_DOTS.sub('-', place).strip('-')}.txt", redactor.text(_read(place))

    def _about(self) -> dict[str, Any]:
        loaded, clock = self._runtime.loaded, self._seams.clock
        return {
            "gateway": loaded.config.gateway.id,
            "version": __version__,
            "made_ns": clock.now_ns(),
            "clock": self._runtime.pipeline.anchors.state.name,
            "boot_id": clock.boot_id,
            "machine": platform.machine(),
            "python": platform.python_version(),
        }

    def _variables(self) -> dict[str, str]:
        return {
            name: value if name in _SHOWN else "(set)"
            for name, value in sorted(self._environ.items())
            if name in _SHOWN or name.startswith("FOREBAY_")
        }

    def _disks(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place in (self._runtime.loaded.state, self._runtime.journal.directory):
            try:
                room = os.statvfs(place)
            except OSError as error:
                found[str(place)] = {"error": error.strerror}
            else:
                found[str(place)] = {
                    "total_bytes": room.f_blocks * room.f_frsize,
                    "free_bytes": room.f_bavail * room.f_frsize,
                    "inodes": room.f_files,
                    "free_inodes": room.f_favail,
                }
        return found


def _parsed(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Give the tables of TOML files, without what a person wrote beside them."""
    found: dict[str, Any] = {}
    for path, content in sorted(files.items()):
        if path.endswith(".toml"):
            try:
                found[path] = tomllib.loads(content.decode(errors="replace"))
            except (tomllib.TOMLDecodeError, RecursionError):
                found[path] = {"error": "no TOML"}
        else:
            found[path] = f"{len(content):,} bytes" if path.endswith(".csv") else "a file"
    return found


def _hidden(value: Any, base: Path, name: str = "") -> Any:  # noqa: ANN401 - TOML
    """Give a configuration without what is called like a secret, unless it names a file.

    Nor the texts of a plugin's own settings, whatever they are called.
    """
    match value:
        case dict():
            named = name in secrets.NAMED  # then its keys are names of a person's own
            return {
                key: _blank(one)
                if key == secrets.SETTINGS or (not named and _secret(key, one, base))
                else _hidden(one, base, key)
                for key, one in value.items()
            }
        case list():
            return [_hidden(one, base, name) for one in value]
        case _:
            return value


def _secret(key: str, value: object, base: Path) -> bool:
    return is_secret_name(key) and not secrets.names_file(value, base)


def _blank(value: Any) -> Any:  # noqa: ANN401 - TOML
    """Give the shape of what may be secret."""
    match value:
        case dict():
            return {key: _blank(one) for key, one in value.items()}
        case list():
            return [_blank(one) for one in value]
        case bool():
            return value
        case _:
            return GONE


def _versions() -> dict[str, str]:
    return {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}


def _read(place: str) -> str:
    try:
        with Path(place).open("rb") as file:
            return file.read(MAX_SYSTEM_BYTES).decode(errors="replace")
    except OSError as error:
        return f"{error.strerror}\n"


async def _none() -> Mapping[str, Any]:
    """Show nothing."""
    return {}
