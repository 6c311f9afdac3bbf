"""The commands for what is carried by hand: usb make, ingest.

Owns their arguments and what they print. What a command needs is imported when it runs, so that
`--help` is instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(help="Carry to boxes, and from them, what no line does.", no_args_is_help=True)


@app.command()
def make(
    gateway: Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)],
    path: Annotated[Path, typer.Argument(help="The bundle to write.", show_default=False)],
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """Write what was last pushed to a gateway to a file, for `forebay usb apply` at the box."""
    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.carried import bundle
    from forebay_fleet.cli import output
    from forebay_fleet.desired import states
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        states.prepare(registry)
        made = bundle.make(registry, Published(data), gateway, path)
    if as_json:
        output.print_json({"gateway": gateway, "file": str(path), **made._asdict()})
        return
    typer.echo(f"bundle   {path}, {made.size_bytes:,} bytes")
    typer.echo(
        f"holds    version {made.version} for {gateway}: {output.counted(len(made.files), 'file')}"
    )
    for one in made.packages:
        typer.echo(f"package  {one}")
    typer.echo(f"at the box: forebay usb apply {path.name}")


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What was collected.")],
    acks: Annotated[Path, typer.Option(help="Directory for the acknowledgements.")],
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """Store what boxes collected, and write for each file what to carry back."""
    import base64

    from forebay_fleet.carried import spool
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError

    try:
        acks.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{acks}: {error.strerror}", hint="name another directory") from None
    done = []
    for path, told in zip(paths, _taken(data, paths), strict=True):
        answer = acks / f"{told['gateway']}-{told['collection'][:16]}.ack"
        spool.write(answer, base64.b64decode(told.pop("signed")))
        done.append({"file": str(path), "ack": str(answer), **told})
        if not as_json:
            refused = f", {told['refused']:,} refused" if told["refused"] else ""
            size = f"{told['payload_bytes']:,} bytes"
            typer.echo(f"{path.name}: {output.counted(told['records'], 'record')}, {size}{refused}")
            typer.echo(f"carry back: {answer}")
    if as_json:
        output.print_json(done)


def _taken(data: Path, paths: Sequence[Path]) -> Any:  # noqa: ANN401 - an iterator of documents
    """Give what becomes of each file: the running server takes them, or this process."""
    from forebay_fleet.carried import alone, spool
    from forebay_fleet.errors import StoreLocked

    for path in paths:
        try:
            yield alone.take(data, path)
        except StoreLocked:
            yield spool.hand_over(data, path)
