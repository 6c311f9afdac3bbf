"""What `serve` makes of its options.

Must not know what is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.identity.opening import FleetSettings
    from forebay_fleet.server import ServerSettings
    from forebay_fleet.tls import Credentials


class Files(NamedTuple):
    """The files that `serve` was told of."""

    cert: Path | None
    key: Path | None
    client_ca: Path | None
    ca: Path | None


def credentials(files: Files, *, insecure: bool) -> Credentials | None:
    """Give the certificates to serve with, None for plaintext. UsageError if they do not add up."""
    from forebay_fleet.errors import UsageError
    from forebay_fleet.tls import Credentials

    cert, key, client_ca, ca = files
    if ca is not None and not insecure:
        return Credentials(cert or ca / "server.crt", key or ca / "server.key", None, ca)
    if cert is not None and key is not None and client_ca is not None and not insecure:
        return Credentials(cert, key, client_ca)
    if insecure and any(files):
        raise UsageError(
            "--insecure goes without --ca, --cert, --key and --client-ca",
            hint="leave it out; it is for a server that only this machine can reach",
        )
    if not insecure:
        raise UsageError(
            "serve needs --ca, or --cert, --key and --client-ca, or --insecure",
            hint="make certificates: forebay-fleet ca init DIR; forebay-fleet ca issue --help",
        )
    return None


def enrollment(
    listen: str | None, host: str | None, valid_for: str, ca: Path | None
) -> FleetSettings | None:
    """Give where boxes enroll, None if none can. UsageError without an authority that signs."""
    from forebay_fleet.errors import UsageError
    from forebay_fleet.identity.opening import FleetSettings

    if listen is None:
        return None
    if ca is None:
        raise UsageError("enrollment needs an authority that signs", hint="add --ca DIR")
    return FleetSettings(listen, host, common.seconds(valid_for))


def say(settings: ServerSettings, port: int) -> None:
    """Print where the server listens, where its page is, and where values are."""
    typer.echo(f"listening on {settings.listen.rpartition(':')[0]}:{port}")
    plain = settings.credentials is None
    if settings.web is not None and not settings.web.endswith(":0"):
        typer.echo(f"page at {'http' if plain else 'https'}://{settings.web}")
    if settings.values is not None and not settings.values.endswith(":0"):
        typer.echo(f"values at {settings.values}, gRPC")
