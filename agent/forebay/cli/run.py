"""`forebay run`: the daemon in the foreground, as a service manager wants it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli import call, output
from forebay.cli.check import load
from forebay.config import places
from forebay.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay.config.load import LoadedConfig
    from forebay.config.model import LogSettings
    from forebay.management.booting import Booting

JsonLog = Annotated[
    bool, typer.Option("--json", help="Write the log as JSON, whatever [log] says.")
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(run)


def run(config: call.Config = places.CONFIG, *, as_json: JsonLog = False) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    boot = booting(config)
    try:
        loaded = boot.start()
    except ConfigError as error:
        for fault in error.faults:
            print(f"forebay: {output.clean(str(fault))}", file=sys.stderr)
        print(f"  next: mend it, then `forebay check {config}`", file=sys.stderr)
        if as_json:
            output.document({"error": {"message": str(error), "hint": error.hint}})
        raise typer.Exit(call.EXIT_INVALID) from error

    from forebay.cli import logs
    from forebay.management.logtail import LogTail

    tail = LogTail()

    def relog(log: LogSettings) -> None:
        form = "json" if as_json else log.format
        send = _to_journal() if form == "auto" else None
        logs.set_up(log.level, as_json=form == "json", keep=tail.add, send=send)

    relog(loaded.config.log)
    for passed_over in boot.faults:
        print(f"forebay: {output.clean(passed_over)}", file=sys.stderr)

    # Else gRPC writes lines of its own between ours at every failed connection; read at its import.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Else each start of a plugin has gRPC stop its threads, lest a fork came without an exec.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from forebay import agent

    with call.reporting(as_json=as_json):
        raise typer.Exit(agent.run(boot, relog, tail))


def _to_journal() -> Callable[..., None] | None:
    """Give what writes to systemd's journal, if standard error leads there."""
    from forebay.cli.journald import is_journal

    if not is_journal(sys.stderr, os.environ):
        return None
    from cysystemd.journal import send

    journal: Callable[..., None] = send
    return journal


def booting(file: Path) -> Booting:
    """Give what runs: a configuration that was applied or pushed, or the `file`."""
    from forebay.clock import SystemClock
    from forebay.config.load import load_items
    from forebay.files import SystemDisk
    from forebay.management.booting import Booting, Loaders
    from forebay.management.generations import FOLDER, Generations
    from forebay.registry import Registry

    def items(path: Path) -> LoadedConfig:
        return load_items(path, Registry(), os.environ)

    folder = places.state_directory(os.environ) / FOLDER
    generations = Generations(folder, SystemDisk())
    return Booting(file, generations, SystemClock(), Loaders(load, items))
