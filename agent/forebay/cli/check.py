"""`forebay check`: every fault of a configuration, before anything runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.config import places
from forebay.errors import ConfigError, Fault
from forebay.files import SystemDisk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.config.load import LoadedConfig
    from forebay.files import Disk

Config = Annotated[
    Path, typer.Argument(envvar="FOREBAY_CONFIG", readable=False, help="The configuration file.")
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(check)


def check(path: Config = places.CONFIG, *, as_json: call.Json = False) -> None:
    """Check a configuration without running it."""
    try:
        loaded = load(path)
    except ConfigError as error:
        _refuse(error.faults, as_json=as_json)
        raise typer.Exit(call.EXIT_INVALID) from error
    if not all(warning.awaited for warning in loaded.warnings):
        _refuse(loaded.warnings, as_json=as_json)
        raise typer.Exit(call.EXIT_INVALID)
    notes = [*loaded.warnings, *room(loaded, SystemDisk())]
    if as_json:
        output.document({"ok": True, "faults": described(notes)})
    else:
        for note in notes:
            print(output.clean(str(note)))
        print(summary(loaded))


def _refuse(faults: Sequence[Fault], *, as_json: bool) -> None:
    if as_json:
        output.document({"ok": False, "faults": described(faults)})
        return
    for fault in faults:
        print(output.clean(str(fault)))


def described(faults: Sequence[Fault]) -> list[dict[str, str]]:
    """Give faults as JSON says them."""
    return [{"path": f.path, "message": f.message, "hint": f.hint} for f in faults]


def room(loaded: LoadedConfig, disk: Disk) -> list[Fault]:
    """Tell where this machine's disk has less room than the journal was given.

    No fault of the configuration: it may be another machine's, and where the disk is small readings
    get thinner sooner.
    """
    size, directory = loaded.config.journal.max_size, loaded.config.journal.directory
    if size is None:
        return []
    try:
        held = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        has = held + disk.free_bytes(directory)
    except OSError:  # another user's, or in use this very moment: the agent tells it
        return []
    if has >= size:
        return []
    return [
        Fault(
            "journal.max_size",
            f"here is room for {output.size(has)} of {output.size(size)}",
            "lower it, or free some: with less room readings get thinner sooner",
        )
    ]


def load(path: Path) -> LoadedConfig:
    """Load a configuration with the adapters installed here; ConfigError with every fault."""
    from forebay.config.load import load as load_config
    from forebay.registry import Registry

    return load_config(path, Registry(), os.environ)


def summary(loaded: LoadedConfig) -> str:
    """Give one line that says what would run, and what would not because it is not enabled."""
    devices = [device.spec for device in loaded.devices if device.spec.settings.enabled]
    uplinks = [uplink for uplink in loaded.uplinks if uplink.settings.enabled]
    tags = sum(len(schema.tags) for spec in devices for schema in spec.schemas)
    parts = [_counted(len(devices), "device"), _counted(tags, "tag")]
    if not devices:
        parts = ["nothing is configured to be read"]
    if devices or uplinks:
        parts.append(_counted(len(uplinks), "uplink"))
    plugins = [plugin for plugin in loaded.plugins if plugin.settings.enabled]
    if plugins:
        parts.append(_counted(len(plugins), "plugin"))
    idle = (
        (len(loaded.devices) - len(devices), "device"),
        (len(loaded.uplinks) - len(uplinks), "uplink"),
        (len(loaded.plugins) - len(plugins), "plugin"),
    )
    disabled = ", ".join(_counted(number, noun) for number, noun in idle if number)
    return f"ok: {', '.join(parts)}" + (f" ({disabled} disabled)" if disabled else "")


def _counted(number: int, noun: str) -> str:
    return f"{output.count(number)} {noun}{'' if number == 1 else 's'}"
