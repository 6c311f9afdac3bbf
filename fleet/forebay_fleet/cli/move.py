"""The command `move`: have a gateway come by another address, and see what became of that.

Owns its arguments and what it prints. What it needs is imported when it runs, so that `--help` is
instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from forebay_fleet.desired.connections import Moved


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(move)


def move(
    gateway: Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)],
    address: Annotated[
        str | None,
        typer.Argument(help="HOST:PORT by which it is to come; without: show what became of it."),
    ] = None,
    data: common.Data = common.DATA,
    enrollment: Annotated[
        str, typer.Option(help="HOST:PORT where it is to recover, if that changes.")
    ] = "",
    authorities: Annotated[
        Path | None,
        typer.Option("--authorities", help="PEM of all that it is to trust, if that changes."),
    ] = None,
    for_: Annotated[str, typer.Option("--for", help="How long a box may begin with it.")] = "30d",
    *,
    as_json: common.Json = False,
) -> None:
    """Have a gateway come by another address: it keeps that only if it gets here by it."""
    import time

    from forebay_fleet.access import trail
    from forebay_fleet.desired import connections, signing
    from forebay_fleet.errors import UsageError
    from forebay_fleet.registry import Registry

    with Registry(data) as registry:
        connections.prepare(registry)
        if address is None:
            found = connections.newest(registry, gateway)
            if found is None:
                raise UsageError(
                    f"{gateway!r} was never moved", hint="forebay-fleet move GATEWAY HOST:PORT"
                )
        else:
            way = connections.Way(address, enrollment, _read(authorities))
            now_ns = time.time_ns()
            times_ns = now_ns, now_ns + round(common.seconds(for_) * 1e9)
            trail.prepare(registry)
            also = common.noted("gateway.move", gateway, "", {"address": address})
            found = connections.offer(registry, signing.load(data), gateway, way, times_ns, also)
    _print(gateway, found, as_json=as_json)


def _read(path: Path | None) -> tuple[bytes, ...]:
    """Give the certificates of a PEM file, DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    from forebay_fleet.errors import UsageError

    if path is None:
        return ()
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", hint="give a PEM of certificates") from None
    return tuple(one.public_bytes(serialization.Encoding.DER) for one in found)


def _print(gateway: str, moved: Moved, *, as_json: bool) -> None:
    import time

    from forebay_fleet.cli import output

    state = "expired" if moved.expires_ns < time.time_ns() else "pending"
    if moved.ended_ns:
        state = "failed" if moved.error else "kept"
    if as_json:
        output.print_json({"gateway": gateway, "state": state, **moved._asdict()})
        return
    rows = [("address", moved.address or "-"), ("state", state), ("error", moved.error or "-")]
    output.table(("gateway", gateway), rows)
    if state == "pending":
        typer.echo(f"see what becomes of it: forebay-fleet move {gateway}")
