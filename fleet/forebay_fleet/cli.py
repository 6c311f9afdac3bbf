"""The command `forebay-fleet`: serve, query, gateways, ledger, ca.

Owns arguments, output and exit codes: 0 ok, 1 failure, 2 usage or invalid input, 74 the disk failed
while serving. Must not know how anything is done. What a command needs is imported when it runs, so
that `--help` is instant.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_DISK = 74
"""EX_IOERR of sysexits.h: a supervisor restarts the server, which then recovers from disk."""

app = typer.Typer(help="The Forebay fleet server.", no_args_is_help=True, add_completion=False)
ca_app = typer.Typer(help="Make certificates for a first fleet.", no_args_is_help=True)
app.add_typer(ca_app, name="ca")

Data = Annotated[Path, typer.Option("--data", envvar="FOREBAY_FLEET_DATA", help="Data directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DATA = "/var/lib/forebay-fleet"
_SHOWN = (
    *("gateway", "stream", "epoch", "committed", "islands", "records", "samples", "gapped"),
    *("refused", "duplicates", "forks"),
)
"""What the table of `ledger` shows of each line; JSON has all."""


@app.command()
def serve(
    data: Data = DATA,  # type: ignore[assignment] # Typer makes it a Path
    listen: Annotated[
        str, typer.Option(help="IP:PORT; port 0 takes a free one.")
    ] = "127.0.0.1:7443",
    cert: Annotated[Path | None, typer.Option(help="Server certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="CA of the gateways, PEM.")] = None,
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
    from forebay_fleet.limits import Limits
    from forebay_fleet.server import Credentials, ServerSettings
    from forebay_fleet.server import serve as run

    _configure_log()
    credentials = None
    if cert is not None and key is not None and client_ca is not None and not insecure:
        credentials = Credentials(cert, key, client_ca)
    elif not insecure or cert or key or client_ca:
        raise UsageError(
            "serve needs --cert, --key and --client-ca, or --insecure",
            hint="make certificates: forebay-fleet ca init DIR; forebay-fleet ca issue --help",
        )
    host = listen.rpartition(":")[0]
    limits = Limits(max_gateways=max_gateways, credit_bytes=credit_mib << 20)
    settings = ServerSettings(data, listen, credentials, limits)
    uvloop.run(run(settings, lambda port: print(f"listening on {host}:{port}", flush=True)))


@app.command()
def gateways(data: Data = DATA, as_json: Json = False) -> None:  # type: ignore[assignment]
    """List the gateways that ever came."""
    from forebay_fleet.store.reader import StoreReader

    with StoreReader(data) as reader:
        rows = reader.gateways()
    if as_json:
        _print_json([{k: v for k, v in row._asdict().items() if k != "id"} for row in rows])
        return
    head = (
        "gateway",
        "agent",
        "sessions",
        "last hello",
        "last record",
        "records",
        "samples",
        "MiB",
        "forks",
    )
    _table(
        head,
        (
            (
                *(row.name, row.version or "-", row.sessions, _time(row.last_hello_ns)),
                *(_time(row.last_record_ns), row.records, row.samples),
                *(f"{row.bytes / 2**20:.1f}", row.forks),
            )
            for row in rows
        ),
    )


@app.command()
def ledger(
    data: Data = DATA,  # type: ignore[assignment] # as above
    gateway: Annotated[str | None, typer.Option(help="Only this gateway.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything back and prove it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is stored and accounted for; exit 1 if `--verify` finds a fault or a hole."""
    from forebay_fleet.audit import verify as prove
    from forebay_fleet.errors import UsageError
    from forebay_fleet.store.reader import StoreReader

    with StoreReader(data) as reader:
        if gateway is not None and reader.gateway_id(gateway) is None:
            raise UsageError(f"no gateway {gateway!r}", hint="list them: forebay-fleet gateways")
        rows = reader.lines(gateway)
        finding = prove(reader, gateway) if verify else None
    lines = [_line(row) for row in rows]
    if as_json:
        _print_json({"lines": lines, "verified": finding and finding.as_dict()})
    else:
        head = list(_SHOWN)
        _table(head, ([_shown(line[name]) for name in head] for line in lines))
        if finding is not None:
            _print_finding(finding.as_dict())
    if finding is not None and not finding.sound:
        raise typer.Exit(1)


@app.command()
def query(
    gateway: Annotated[str, typer.Option(help="Id of the gateway.")],
    tag: Annotated[str, typer.Option(help="DEVICE/TAG.")],
    data: Data = DATA,  # type: ignore[assignment] # as above
    since: Annotated[
        str | None, typer.Option("--from", help="First source time, ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last source time, ISO 8601.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000_000, help="Newest values.")] = 100,
    as_json: Json = False,
) -> None:
    """Print the newest values of a tag, oldest first."""
    from forebay_fleet.query import quality_name
    from forebay_fleet.query import query as ask
    from forebay_fleet.store.reader import StoreReader

    span_ns = (_parse_time(since, -(1 << 63)), _parse_time(until, (1 << 63) - 1))
    with StoreReader(data) as reader:
        answer = ask(reader, gateway, tag, span_ns, limit)
    rows = [(*value, quality_name(value.quality)) for value in answer.values]
    if as_json:
        keys = ("time_ns", "received_ns", "value", "status", "quality")
        values = [dict(zip(keys, row, strict=True)) for row in rows]
        _print_json({"gateway": gateway, "tag": tag, "unit": answer.unit, "values": values})
        return
    head = ("time", "value", "unit", "quality", "received")
    _table(
        head,
        (
            (_time(t), "-" if value is None else value, answer.unit, quality, _time(received))
            for t, received, value, _status, quality in rows
        ),
    )


@ca_app.command("init")
def ca_init(
    directory: Annotated[Path, typer.Argument(help="Where ca.crt and ca.key go.")],
    name: Annotated[str, typer.Option(help="Name of the CA.")] = "Forebay fleet CA",
) -> None:
    """Make a certificate authority."""
    from forebay_fleet.certificates import init

    pair = init(directory, name)
    print(f"{pair.certificate}\n{pair.key}  (keep it secret)")


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
    print(f"{pair.certificate}\n{pair.key}")


def main() -> None:
    """Run the command; every FleetError becomes one line on stderr and an exit code."""
    from forebay_fleet.errors import FleetError, StoreFailed, UsageError

    try:
        app()
    except FleetError as error:
        print(f"forebay-fleet: {error} ({error.hint})", file=sys.stderr)
        if isinstance(error, StoreFailed):
            sys.exit(EXIT_DISK)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _line(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a LineRow, whose module is imported late
    """Give a line of the ledger for JSON."""
    from forebay_fleet._proto import uplink_pb2

    return {
        "gateway": row.gateway,
        "stream": uplink_pb2.Stream.Name(row.stream).lower(),
        "epoch": f"{row.epoch:016x}",
        "committed": row.coverage.committed,
        "islands": [list(island) for island in row.coverage.islands],
        "records": row.records,
        "samples": row.samples,
        "gapped": row.gapped,
        "refused": row.refused,
        "duplicates": row.duplicates,
        "forks": row.forks,
        "rejections": row.rejections,
        "bytes": row.bytes,
        "chain": row.chain.hex(),
    }


def _shown(cell: object) -> object:
    return len(cell) if isinstance(cell, list) else cell


def _print_finding(finding: dict[str, Any]) -> None:
    for problem in finding["problems"]:
        print(f"FAULT    {problem}")
    for hole in finding["missing"]:
        print(f"MISSING  {hole}")
    counts = ", ".join(
        f"{value} {name.replace('_', ' ')}"
        for name, value in finding.items()
        if name not in {"problems", "missing", "sound"}
    )
    verdict = "NOT SOUND" if finding["problems"] else "INCOMPLETE"
    print(f"{'sound' if finding['sound'] else verdict}: {counts}")


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


def _parse_time(text: str | None, default: int) -> int:
    """Turn ISO 8601 into ns since 1970; UTC unless it says otherwise."""
    import datetime as dt

    from forebay_fleet.errors import UsageError

    if text is None:
        return default
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", hint="write 2026-01-31T08:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1) * 1000


def _time(time_ns: int) -> str:
    """Give ns since 1970 as ISO 8601 with milliseconds, a dash for never."""
    import datetime as dt

    if time_ns == 0:
        return "-"
    moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=time_ns // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, allow_nan=True)
    print()


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns, numbers to the right."""
    table = list(rows)
    cells = [list(head), *([str(cell) for cell in row] for row in table)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row, values in zip(cells, [None, *table], strict=True):
        line = "  ".join(
            cell.rjust(width)
            if values and isinstance(values[i], int | float)
            else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(line.rstrip())
