"""The command that replaces a fleet's authority under way: ca rotate.

Owns its arguments, and that no step comes before all boxes are ready for it. What it needs is
imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import Annotated

import typer

from forebay_fleet.cli import common


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("rotate")(rotate)


def rotate(
    directory: Annotated[Path, typer.Argument(help="The CA's directory.")],
    data: common.Data = common.DATA,
    name: Annotated[str, typer.Option(help="Name of the next CA.")] = "Forebay fleet CA",
    *,
    switch: Annotated[bool, typer.Option("--switch", help="Have the next one sign.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Trust the one before no more.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for boxes that are not ready.")
    ] = False,
    as_json: common.Json = False,
) -> None:
    """Make the next CA; later --switch to it, then --finish with the one before.

    A step that would leave boxes behind is refused with their number, exit 1.
    """
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError
    from forebay_fleet.identity import authorities

    if switch and finish:
        raise UsageError("one step at a time", hint="first --switch, weeks later --finish")
    left = [] if force or not (switch or finish) else _left_behind(directory, data, finish=finish)
    done = "switched" if switch else "finished" if finish else "made"
    if left:
        done = "refused"
    elif switch:
        authorities.switch(directory)
    elif finish:
        authorities.finish(directory)
    else:
        authorities.rotate(directory, name)
    if as_json:
        output.print_json({"done": done, "not_ready": left})
    elif left:
        boxes = output.counted(len(left), "box", "boxes")
        more = ", ..." if len(left) > SHOWN else ""
        typer.echo(f"refused  {boxes} not ready: {', '.join(left[:SHOWN])}{more}")
        typer.echo(_WAIT)
    else:
        typer.echo(_NEXT[done].format(directory=directory, data=data))
    if left:
        raise typer.Exit(1)


SHOWN = 10
_WAIT = (
    "a box is ready when it has renewed, by itself, after 60 % of its certificate's time at the "
    "latest; revoke what is gone, or go on without them: --force"
)
_NEXT = {
    "made": "made     next.crt; boxes get it as they come: wait, then "
    "forebay-fleet ca rotate {directory} --data {data} --switch",
    "switched": "switched the new CA signs; delete server.crt and server.key, make them anew: "
    "forebay-fleet ca issue {directory} --host NAME; when boxes have renewed: "
    "forebay-fleet ca rotate {directory} --data {data} --finish",
    "finished": "finished the CA before is trusted no more",
}


def _left_behind(directory: Path, data: Path, *, finish: bool) -> list[str]:
    """Name the boxes for which it is too early.

    To switch, each must know the next authority. To finish, none may still have a certificate of
    the one before. One that has not come until its certificate expired waits for no step.
    """
    import time

    from cryptography import x509

    from forebay_fleet.errors import UsageError
    from forebay_fleet.identity import authorities, gateways
    from forebay_fleet.identity.requests import spki_hash
    from forebay_fleet.registry import Registry, there

    if not there(data):  # else a forgotten --data would leave all boxes behind
        raise UsageError(
            f"no fleet is in {data}: which boxes are ready cannot be told",
            hint="name its directory: --data DIR; without a fleet, --force",
        )
    now = authorities.load(directory)
    with Registry(data) as registry:
        shut = gateways.all_denied(registry)
        rows = [
            row
            for row in gateways.all_enrolled(registry)
            if row.name not in shut and row.expires_ns > time.time_ns()
        ]
    if not finish:
        known = {spki_hash(one.public_key()).hex() for one in now.trusted}
        return [row.name for row in rows if not known <= set(row.trusts.split())]
    return [
        row.name
        for row in rows
        if now.issuer_of(x509.load_der_x509_certificate(row.certificate)) is not now.signer
    ]
