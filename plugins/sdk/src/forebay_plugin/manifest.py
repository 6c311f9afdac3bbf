"""A plugin's manifest, as its tests need it: what goes in, in which windows, what may come out.

Owns reading `plugin.toml` for the harness and the conformance kit. The gateway reads it with more
care and knows more keys; it has the last word.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay_plugin.plugin import Output
from forebay_plugin.types import Kind, Type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE = "plugin.toml"
FILE_BYTES_MAX = 256 * 1024
NS = 1_000_000_000
_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,31}$")
_TABLES = {"plugin", "inputs", "window", "outputs", "limits", "settings"}


class ManifestError(Exception):
    """The manifest is not one: which key, and why."""


@dataclass(frozen=True)
class Role:
    """Table `[inputs.NAME]`. `types` are words of the manifest: number, string, bytes."""

    tags: Sequence[str]
    types: Sequence[str] = ("number",)
    least: int = 1
    most: int = 256

    def takes(self, kind: Type) -> bool:
        """Whether tags of this type may come in."""
        return ("number" if kind.is_number else kind.word) in self.types


@dataclass(frozen=True)
class Windows:
    """Table `[window]`: so many rows, or spans of time that end at multiples of `every_ns`."""

    rows: int = 1
    stride: int = 1
    every_ns: int = 0
    length_ns: int = 0


@dataclass(frozen=True)
class Declared:
    """Table `[outputs.NAME]`, with the range outside of which a number becomes BadOutOfRange."""

    output: Output
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Manifest:
    """All of `plugin.toml` that a plugin's own tests need."""

    directory: Path
    name: str
    version: str
    command: Sequence[str]
    inputs: Mapping[str, Role]
    windows: Windows
    outputs: Sequence[Declared]
    batch: int = 64
    deadline_s: float = 5.0
    start_timeout_s: float = 30.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def command_line(self) -> list[str]:
        """The command with its places filled in, as the gateway would run it."""
        own = self.directory / "venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        places = {"{python}": python, "{dir}": str(self.directory)}
        return [
            word.replace("{python}", python).replace("{dir}", places["{dir}"])
            for word in self.command
        ]

    def with_(
        self,
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Sequence[str]] | None = None,
        window: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Lay over it what `[plugins.NAME]` of the gateway's configuration may say.

        Raises:
            ManifestError: an unknown role, or a window that is none.
        """
        roles = dict(self.inputs)
        for role, tags in (inputs or {}).items():
            if role not in roles:
                raise ManifestError(f"inputs.{role}: the plugin has no such role")
            roles[role] = replace(roles[role], tags=tuple(tags))
        return replace(
            self,
            settings={**self.settings, **(settings or {})},
            inputs=roles,
            windows=_windows(window) if window else self.windows,
        )


def load(path: str | Path) -> Manifest:
    """Read a manifest, named by its file or its directory.

    Raises:
        ManifestError: it cannot be read, or a key is missing or wrong.
    """
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ManifestError(f"{file}: larger than {FILE_BYTES_MAX} bytes")
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise ManifestError(f"{file}: {wrong}") from wrong
    try:
        return _read(held, file.resolve().parent)
    except KeyError as missing:
        raise ManifestError(f"{file}: {missing.args[0]} is missing") from missing
    except (TypeError, AttributeError, ValueError) as wrong:
        raise ManifestError(f"{file}: {wrong}") from wrong


def _read(held: Mapping[str, Any], directory: Path) -> Manifest:
    unknown = held.keys() - _TABLES
    if unknown:
        raise ManifestError(f"unknown table {min(unknown)!r}")
    plugin, limits = held["plugin"], held.get("limits", {})
    if not _NAME.match(plugin["name"]):
        raise ManifestError(f"plugin.name: {plugin['name']!r} must be like {_NAME.pattern}")
    if plugin.get("protocol", 1) != 1:
        raise ManifestError("plugin.protocol: this kit speaks 1")
    if not plugin["command"]:
        raise ManifestError("plugin.command is empty")
    return Manifest(
        directory=directory,
        name=plugin["name"],
        version=plugin["version"],
        command=tuple(map(str, plugin["command"])),
        inputs={name: _role(name, table) for name, table in held["inputs"].items()},
        windows=_windows(held.get("window", {})),
        outputs=[_declared(name, table) for name, table in held.get("outputs", {}).items()],
        batch=int(plugin.get("batch", 64)),
        deadline_s=duration_s(limits.get("deadline", 5.0)),
        start_timeout_s=duration_s(limits.get("start_timeout", 30.0)),
        settings=held.get("settings", {}),
    )


def _role(name: str, table: Mapping[str, Any]) -> Role:
    types = tuple(table.get("types", ("number",)))
    if not types or set(types) - {"number", "string", "bytes"}:
        raise ManifestError(f"inputs.{name}.types: {types} are not of number, string, bytes")
    return Role(tuple(table["tags"]), types, int(table.get("min", 1)), int(table.get("max", 256)))


def _windows(table: Mapping[str, Any]) -> Windows:
    timed = {"every", "length", "grace"} & table.keys()
    if timed and {"rows", "stride"} & table.keys():
        raise ManifestError("window counts rows and time: keep one")
    if timed:
        every_ns = round(duration_s(table["every"]) * NS)
        return Windows(
            every_ns=every_ns, length_ns=round(duration_s(table.get("length", every_ns / NS)) * NS)
        )
    rows = int(table.get("rows", 1))
    stride = int(table.get("stride", rows))
    if rows < 1 or stride < 1:
        raise ManifestError("window.rows and stride are 1 at least")
    return Windows(rows=rows, stride=stride)


def _declared(name: str, table: Mapping[str, Any]) -> Declared:
    kind = Kind[table.get("kind", "tag").upper()]
    implied = {Kind.EVENT: "string", Kind.BLOB: "bytes"}.get(kind, "float64")
    output = Output(name, kind, Type[table.get("type", implied).upper()], table.get("unit", ""))
    return Declared(output, table.get("min"), table.get("max"))


def duration_s(value: str | float) -> float:
    """Read `"250 ms"` as seconds; a number is seconds.

    Raises:
        ManifestError: it is no duration over zero.
    """
    if isinstance(value, str):
        match = re.match(r"^(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)$", value.strip())
        if match is None:
            raise ManifestError(f'{value!r} is no duration; write for example "250 ms" or "5 s"')
        value = float(match[1]) * _UNITS_S[match[2]]
    if not value > 0:
        raise ManifestError(f"{value!r} is no duration")
    return float(value)
