"""`forebay demo`: the main job, live, on simulated devices."""

from __future__ import annotations

import typer


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`; it takes its words as they are."""
    app.command(
        name,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(demo)


def demo(context: typer.Context) -> None:
    """Show the main job on simulated devices."""
    from forebay.cli.demo import main

    raise typer.Exit(main(context.args))
