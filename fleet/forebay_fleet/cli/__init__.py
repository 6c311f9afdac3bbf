"""The command `forebay-fleet`: serve, ca, and those of its other modules.

Owns the arguments of its commands and all exit codes: 0 ok, 1 failure, 2 usage or invalid input, 74
the disk failed while serving. Must not know how anything is done. What a command needs is imported
when it runs, so that `--help` is instant.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import Annotated, Any

import typer

from forebay_fleet.cli import authorities, common, files, identity, ledger, push, send, values

EXIT_DISK = 74
"""EX_IOERR of sysexits.h: a supervisor restarts the server, which then recovers from disk."""

app = typer.Typer(help="The Forebay fleet server.", no_args_is_help=True, add_completion=False)
ca_app = typer.Typer(help="Make certificates for a fleet.", no_args_is_help=True)
app.add_typer(ca_app, name="ca")

identity.add(app)
authorities.add(ca_app)
ledger.add(app)
values.add(app)
push.add(app)
app.add_typer(send.send, name="send")
files.add(app)


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
    insecure: Annotated[bool, typer.Option(help="Plaintext; loopback addresses only.")] = False,
    max_gateways: Annotated[int, typer.Option(min=1, help="Take no more than this.")] = 1000,
    credit_mib: Annotated[
        int, typer.Option(min=16, max=128, help="Unacknowledged MiB a session.")
    ] = 16,
) -> None:
    """Take records from gateways until SIGTERM."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines would break ours; before its import
    import uvloop

    from forebay_fleet.errors import UsageError
    from forebay_fleet.identity.opening import FleetSettings
    from forebay_fleet.limits import Limits
    from forebay_fleet.server import ServerSettings
    from forebay_fleet.server import serve as run
    from forebay_fleet.tls import Credentials

    _configure_log()
    credentials = None
    if ca is not None and not insecure:
        credentials = Credentials(cert or ca / "server.crt", key or ca / "server.key", None, ca)
    elif cert is not None and key is not None and client_ca is not None and not insecure:
        credentials = Credentials(cert, key, client_ca)
    elif not insecure or cert or key or client_ca or ca:
        raise UsageError(
            "serve needs --ca, or --cert, --key and --client-ca, or --insecure",
            hint="make certificates: forebay-fleet ca init DIR; forebay-fleet ca issue --help",
        )
    fleet = None
    if enroll_listen is not None:
        if ca is None or insecure:
            raise UsageError("enrollment needs an authority that signs", hint="add --ca DIR")
        fleet = FleetSettings(enroll_listen, host, common.seconds(valid_for))
    limits = Limits(max_gateways=max_gateways, credit_bytes=credit_mib << 20)
    settings = ServerSettings(data, listen, credentials, limits, fleet)
    shown = listen.rpartition(":")[0]
    uvloop.run(run(settings, lambda port: typer.echo(f"listening on {shown}:{port}")))


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
) -> None:
    """Issue a certificate: for a server with --host (or several), for a gateway with --gateway."""
    from forebay_fleet.certificates import issue_gateway, issue_server
    from forebay_fleet.errors import UsageError

    if (gateway is None) == (not host):
        raise UsageError("issue needs either --gateway or --host", hint="see --help")
    if gateway is not None:
        pair = issue_gateway(directory, out or directory, gateway, days)
    else:
        pair = issue_server(directory, out or directory, host or [], days)
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


def _configure_log() -> None:
    """Log to stderr, for people on a terminal and as JSON lines elsewhere."""
    import structlog

    console = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
