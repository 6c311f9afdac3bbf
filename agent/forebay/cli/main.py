"""The entry point: finds the command's module, runs it, gives its exit code.

Owns the list of commands. Must not import what a command needs: only the module of the command that
was asked for is loaded, and that loads neither the agent nor any adapter.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from forebay import __version__
from forebay.cli import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMANDS = {
    "init": "forebay.cli.init",
    "run": "forebay.cli.run",
    "check": "forebay.cli.check",
    "status": "forebay.cli.status",
    "top": "forebay.cli.top",
    "devices": "forebay.cli.devices",
    "tags": "forebay.cli.tags",
    "read": "forebay.cli.tags",
    "browse": "forebay.cli.browse",
    "write": "forebay.cli.write",
    "call": "forebay.cli.write",
    "scan": "forebay.cli.scan",
    "plan": "forebay.cli.plan",
    "journal": "forebay.cli.journal",
    "ledger": "forebay.cli.ledger",
    "uplinks": "forebay.cli.uplinks",
    "plugins": "forebay.cli.plugins",
    "config": "forebay.cli.config",
    "fleet": "forebay.cli.fleet",
    "usb": "forebay.cli.usb",
    "update": "forebay.cli.update",
    "restart": "forebay.cli.tend",
    "events": "forebay.cli.events",
    "trace": "forebay.cli.events",
    "log": "forebay.cli.tend",
    "doctor": "forebay.cli.doctor",
    "bundle": "forebay.cli.tend",
    "demo": "forebay.cli.simulation",
}
"""Every command, in the order of the help, and the module that adds it: `add(app, name)`."""


def main() -> None:
    """Run `forebay`; ends the process with 0 ok, 1 failure, 2 invalid input, 3 no agent answers."""
    wanted = [word for word in sys.argv[1:2] if word in COMMANDS]
    build(wanted or COMMANDS)(prog_name="forebay")


def build(names: Iterable[str]) -> typer.Typer:
    """Give the application with the commands `names`, and import no other."""
    app = typer.Typer(
        name="forebay",
        help=(
            "The edge gateway of a factory. "
            "Exit codes: 0 ok, 1 failure, 2 invalid input, 3 no agent answers."
        ),
        add_completion=True,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for name in names:
        import_module(COMMANDS[name]).add(app, name)
    examples.add_to(app)
    return app


def _say_version(asked: bool) -> None:
    if asked:
        print(f"forebay {__version__}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Say which Forebay this is."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command; each acts in its callback."""
