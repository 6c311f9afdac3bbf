"""The command that writes values to a file: export.

Owns its arguments and what it prints. Must not know how anything is found.
"""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from forebay_fleet.cli import common


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(export)


def export(
    gateway: Annotated[str, typer.Option(help="Id of the gateway.")],
    tag: Annotated[str, typer.Option(help="DEVICE/TAG, or a pattern: * ? [abc].")],
    out: Annotated[Path, typer.Option(help="The file: NAME.csv or NAME.parquet.")],
    data: common.Data = common.DATA,
    since: Annotated[
        str | None, typer.Option("--from", help="First source time, ISO 8601; 24 h before --to.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Last source time, ISO 8601; now.")
    ] = None,
    *,
    raw_times: Annotated[
        bool, typer.Option("--raw-times", help="Times as the gateway stamped them.")
    ] = False,
    as_json: common.Json = False,
) -> None:
    """Write all values of tags in a time to a file, by time."""
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.asking import Asked, Export
    from forebay_fleet.values.spans import span_ns

    try:
        from forebay_fleet.values.writing import write_file
    except ImportError:
        raise UsageError(
            "pyarrow is not installed", hint="pip install 'forebay[parquet]'"
        ) from None
    span = span_ns(since, until, time.time_ns())
    with StoreReader(data) as reader:
        try:
            rows = write_file(reader, Export(Asked(gateway, tag, raw_times), span), out)
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error}", hint="choose another file") from None
    if as_json:
        output.print_json({"file": str(out), "rows": rows})
        return
    typer.echo(f"{rows} values in {out}")
