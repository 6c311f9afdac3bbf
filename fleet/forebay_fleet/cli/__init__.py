"""The command `forebay-fleet`: serve, ca, and those of its other modules.

Owns the arguments of its commands and all exit codes: 0 ok, 1 failure, 2 usage or invalid input, 74
the disk failed while serving. Must not know how anything is done. What a command needs is imported
when it runs, so that `--help` is instant.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import Annotated

import typer

from forebay_fleet.cli import (
    artifacts,
    authorities,
    common,
    exporting,
    files,
    identity,
    labels,
    ledger,
    move,
    people,
    push,
    rollouts,
    send,
    serving,
    stream,
    usb,
    values,
)

EXIT_DISK = 74
"""EX_IOERR of sysexits.h: a supervisor restarts the server, which then recovers from disk."""

app = typer.Typer(help="The Forebay fleet server.", no_args_is_help=True)
ca_app = typer.Typer(help="Make certificates for a fleet.", no_args_is_help=True)
app.add_typer(ca_app, name="ca")

identity.add(app)
authorities.add(ca_app)
ledger.add(app)
values.add(app)
exporting.add(app)
push.add(app)
artifacts.add(app)
move.add(app)
app.add_typer(send.send, name="send")
app.add_typer(usb.app, name="usb")
files.add(app)
app.command()(stream.worker)
people.add(app)
labels.add(app)
app.add_typer(rollouts.app, name="rollout")


@app.command()
def serve(  # noqa: PLR0913 - an option each
    data: common.Data = common.DATA,
    *,
    listen: Annotated[
        str, typer.Option(help="IP:PORT; port 0 takes a free one.")
    ] = "127.0.0.1:7443",
    cert: Annotated[Path | None, typer.Option(help="Server certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="CA of the gateways, PEM.")] = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="Directory of the fleet's CA; has server.crt and server.key by default."),
    ] = None,
    enroll_listen: Annotated[
        str | None, typer.Option(help="IP:PORT where boxes enroll; needs --ca.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where boxes find it; default: from its certificate.")
    ] = None,
    valid_for: Annotated[
        str, typer.Option(help="How long certificates of boxes are good: 30d, 12h.")
    ] = "30d",
    web: Annotated[
        str | None, typer.Option(help="IP:PORT of the page and of REST; none by default.")
    ] = None,
    values_listen: Annotated[
        str | None, typer.Option("--values", help="IP:PORT of values by gRPC; none by default.")
    ] = None,
    oidc: Annotated[
        Path | None, typer.Option(help="TOML file of an OpenID provider where people sign in.")
    ] = None,
    database: stream.Database = None,
    stream_servers: stream.Servers = None,
    stream_ca: stream.Authority = None,
    stream_credentials: stream.Creds = None,
    replicas: stream.Replicas = None,
    stream_gib: stream.MaxGib = stream.GIB,
    insecure: Annotated[bool, typer.Option(help="Plaintext; loopback addresses only.")] = False,
    max_gateways: Annotated[int, typer.Option(min=1, help="Take no more than this.")] = 1000,
    credit_mib: Annotated[
        int, typer.Option(min=16, max=128, help="Unacknowledged MiB a session.")
    ] = 16,
) -> None:
    """Take records from gateways until SIGTERM."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines would break ours; before its import
    import uvloop

    from forebay_fleet.cli.logs import configure_log
    from forebay_fleet.db import place
    from forebay_fleet.errors import UsageError
    from forebay_fleet.limits import Limits
    from forebay_fleet.server import ServerSettings
    from forebay_fleet.server import serve as run

    configure_log()
    files = serving.Files(cert, key, client_ca, ca)
    credentials = serving.credentials(files, insecure=insecure)
    enrolled = serving.enrollment(enroll_listen, host, valid_for, ca if not insecure else None)
    if oidc is not None and web is None:
        raise UsageError("--oidc is for the page", hint="add --web IP:PORT")
    if database is not None:
        place.move(data, database)
    limits = Limits(max_gateways=max_gateways, credit_bytes=credit_mib << 20)
    by = None
    if stream_servers is not None:
        by = stream.settings(stream_servers, stream_ca, stream_credentials, replicas, stream_gib)
    settings = ServerSettings(
        data, listen, credentials, limits, enrolled, web, values_listen, oidc, by
    )
    uvloop.run(run(settings, lambda port: serving.say(settings, port)))


@ca_app.command("init")
def ca_init(
    directory: Annotated[Path, typer.Argument(help="Where ca.crt and ca.key go.")],
    name: Annotated[str, typer.Option(help="Name of the CA.")] = "Forebay fleet CA",
) -> None:
    """Make a certificate authority."""
    from forebay_fleet.certificates import init

    pair = init(directory, name)
    typer.echo(f"{pair.certificate}\n{pair.key}  (keep it secret)")


@ca_app.command("issue")
def ca_issue(
    directory: Annotated[Path, typer.Argument(help="The CA's directory.")],
    gateway: Annotated[str | None, typer.Option(help="Id: issue a gateway certificate.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Name or IP: issue a server certificate.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; default: the CA's directory.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=825, help="Validity.")] = 365,
    *,
    peer: Annotated[
        bool, typer.Option(help="With --host: for both ends, as servers of a cluster have it.")
    ] = False,
) -> None:
    """Issue a certificate: for a server with --host (or several), for a gateway with --gateway."""
    from forebay_fleet.certificates import issue_gateway, issue_server
    from forebay_fleet.errors import UsageError

    if (gateway is None) == (not host):
        raise UsageError("issue needs either --gateway or --host", hint="see --help")
    if gateway is not None:
        pair = issue_gateway(directory, out or directory, gateway, days)
    else:
        pair = issue_server(directory, out or directory, host or [], days, peer=peer)
    typer.echo(f"{pair.certificate}\n{pair.key}")


def main() -> None:
    """Run the command; every FleetError becomes one line on stderr and an exit code."""
    from forebay_fleet.errors import FleetError, StoreFailed, UsageError

    try:
        app()
    except FleetError as error:
        typer.echo(f"forebay-fleet: {error} ({error.hint})", err=True)
        if isinstance(error, StoreFailed):
            sys.exit(EXIT_DISK)
        sys.exit(2 if isinstance(error, UsageError) else 1)
