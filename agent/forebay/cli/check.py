"""`forebay check`: every fault of a configuration, before anything runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.errors import ConfigError

if TYPE_CHECKING:
    from forebay.config.load import LoadedConfig

Config = Annotated[Path, typer.Argument(help="The configuration file.", show_default=False)]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(check)


def check(path: Config, *, as_json: call.Json = False) -> None:
    """Check a configuration without running it."""
    try:
        loaded = load(path)
    except ConfigError as error:
        if as_json:
            faults = [
                {"path": fault.path, "message": fault.message, "hint": fault.hint}
                for fault in error.faults
            ]
            output.document({"ok": False, "faults": faults})
        else:
            for fault in error.faults:
                print(output.clean(str(fault)))
        raise typer.Exit(call.EXIT_INVALID) from error
    if as_json:
        output.document({"ok": True, "faults": []})
    else:
        print(summary(loaded))


def load(path: Path) -> LoadedConfig:
    """Load a configuration with the adapters installed here; ConfigError with every fault."""
    from forebay.config.load import load as load_config
    from forebay.registry import Registry

    return load_config(path, Registry(), os.environ)


def summary(loaded: LoadedConfig) -> str:
    """Give one line that says what would run."""
    tags = sum(len(schema.tags) for device in loaded.devices for schema in device.spec.schemas)
    parts = ((len(loaded.devices), "device"), (tags, "tag"), (len(loaded.uplinks), "uplink"))
    return "ok: " + ", ".join(
        f"{output.count(number)} {noun}{'' if number == 1 else 's'}" for number, noun in parts
    )
