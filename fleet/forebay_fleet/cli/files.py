"""The command that puts files together again: files.

Owns its arguments and what it prints. Must not know how anything is found. What it needs is
imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from forebay_fleet.cli import common


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(files)


def files(
    gateway: Annotated[str, typer.Option(help="Id of the gateway.")],
    device: Annotated[str, typer.Option(help="The folder's device.")],
    into: Annotated[Path, typer.Option(help="Where files go; made if missing.")],
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """Put the files of a folder together again. Ends with 1 if one is not whole."""
    from forebay_fleet import files as parts
    from forebay_fleet.cli import output
    from forebay_fleet.store.reader import StoreReader

    with StoreReader(data) as reader:
        found = parts.assemble(parts.pieces(reader, gateway, device), into)
    if as_json:
        rows = [{**one._asdict(), "path": one.path and str(one.path)} for one in found]
        output.print_json({"gateway": gateway, "device": device, "files": rows})
    else:
        head = ("file", "bytes", "here", "state", "path")
        output.table(
            head, [(one.file, one.total, one.there, one.state, one.path or "-") for one in found]
        )
    if any(one.state is not parts.State.WHOLE for one in found):
        raise typer.Exit(1)
