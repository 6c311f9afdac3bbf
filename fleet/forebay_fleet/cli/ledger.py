"""The commands that show what the store holds: gateways, ledger, forks, aside.

Owns their arguments and what they print. Must not know how anything is found. What a command needs
is imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forebay_fleet.cli import common, compare, identity, push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_fleet.store.reader import GatewayRow, LineRow, StoreReader
    from forebay_fleet.watermark import Watermark


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(help="List the gateways that ever came; say who may come.")
    group.callback(invoke_without_command=True)(gateways)
    identity.add_to_gateways(group)
    app.add_typer(group, name="gateways")
    for command in (ledger, forks, aside):
        app.command()(command)


def gateways(
    context: typer.Context, data: common.Data = common.DATA, *, as_json: common.Json = False
) -> None:
    """List the gateways that ever came; say who may come."""
    if context.invoked_subcommand is not None:
        return
    import time

    from forebay_fleet.cli import output
    from forebay_fleet.store.reader import GatewayRow, StoreReader
    from forebay_fleet.watermark import watermarks

    with StoreReader(data) as reader:
        rows = reader.gateways()
        marks = watermarks(reader.lines())
        aside_of = reader.aside.counts()
    known, links = identity.identities(data), push.told(data)
    came = {row.name for row in rows}
    rows += [GatewayRow(0, name, "", *[0] * 10) for name in known if name not in came]
    if as_json:
        output.print_json(
            [
                {k: v for k, v in row._asdict().items() if k != "id"}
                | {"aside": aside_of.get(row.name, 0)}
                | {"identity": known.get(row.name), "link": links.get(row.name)}
                | {"watermarks": [common.mark(mark) for mark in marks if mark.gateway == row.name]}
                for row in rows
            ]
        )
        return
    now_ns = time.time_ns()
    missing = {row.name: sum(m.open for m in marks if m.gateway == row.name) for row in rows}
    head = ("gateway", "agent", "hello", "record", "samples", "MiB", "open", "forks")
    table = [
        (
            *(row.name, row.version or "-", _ago(row.last_hello_ns, now_ns)),
            *(_ago(row.last_record_ns, now_ns), row.samples, f"{row.bytes / 2**20:.1f}"),
            *(missing[row.name], row.forks),
        )
        for row in rows
    ]
    output.table(head, table, optional=("open", "forks"))
    if links:
        stands = [
            (
                *(name, "online" if one["online"] else "offline", one["version"] or "-"),
                one["config"].get("last_attempt", {}).get("phase", "-"),
            )
            for name, one in links.items()
        ]
        output.table(("gateway", "link", "agent", "configuration"), stands)
    _alarm(rows, now_ns)
    for name, number in sorted(aside_of.items()):
        typer.echo(f"ALARM    {output.counted(number, 'record')} of {name} kept aside; see aside")
    for name, one in known.items():
        if one["state"] != "active":
            typer.echo(f"{one['state'].upper():8} {name}: {one['reason']}")


def _ago(time_ns: int, now_ns: int) -> str:
    from forebay_fleet.cli import output

    return "never" if not time_ns else f"{output.duration(max(0, now_ns - time_ns))} ago"


def _alarm(rows: Sequence[GatewayRow], now_ns: int) -> None:
    for row in rows:
        if row.twins:
            when = _ago(row.twin_ns, now_ns)
            typer.echo(f"ALARM    two boxes come as one gateway: {row.name}, seen {when}")
    forked = [row.name for row in rows if row.forks]
    if forked:
        typer.echo(f"ALARM    two records for one position: {', '.join(forked)}; see forks")


def ledger(
    data: common.Data = common.DATA,
    gateway: common.OnlyGateway = None,
    *,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A line for each run of the agent.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything back and prove it.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            allow_dash=True, help="What `forebay ledger --json` said, - for stdin: do they agree?"
        ),
    ] = None,
    uplink: Annotated[
        str | None, typer.Option(help="With --against: the gateway's name for this server.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Show what is stored and accounted for.

    Exit 1 if `--verify` finds a fault or a hole, or `--against` a difference that nothing explains.
    """
    from forebay_fleet.audit import verify as prove
    from forebay_fleet.cli import output
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.watermark import watermarks

    with StoreReader(data) as reader:
        _known(reader, gateway)
        if against is not None:
            compare.run(reader, gateway, (against, uplink), as_json=as_json)
            return
        rows = reader.lines(gateway)
        finding = prove(reader, gateway) if verify else None
    marks = watermarks(rows)
    if as_json:
        streams = [_stream(mark, rows) for mark in marks]
        found = finding and finding.as_dict()
        output.print_json(
            {"lines": [_line(row) for row in rows], "streams": streams, "verified": found}
        )
    else:
        if epochs:
            _print_epochs(rows)
        else:
            _print_streams([_stream(mark, rows) for mark in marks])
        if finding is not None:
            _print_finding(finding.as_dict())
    if finding is not None and not finding.sound:
        raise typer.Exit(1)


def _known(reader: StoreReader, gateway: str | None) -> None:
    from forebay_fleet.errors import UsageError

    if gateway is not None and reader.gateway_id(gateway) is None:
        raise UsageError(f"no gateway {gateway!r}", hint="list them: forebay-fleet gateways")


def _print_streams(streams: Sequence[dict[str, Any]]) -> None:
    from forebay_fleet.cli import output

    head = ("gateway", "stream", "watermark", "samples", "gapped", "refused", "open", "forks")
    rows = [
        [_short_mark(s["watermark"]) if name == "watermark" else s[name] for name in head]
        for s in streams
    ]
    output.table(head, rows, optional=("refused", "open", "forks"))


def _short_mark(mark: dict[str, Any]) -> str:
    from forebay_fleet.cli import output

    return f"{output.short_epoch(int(mark['epoch'], 16))}/{mark['seq']}" if mark["seq"] else "-"


def _print_epochs(rows: Sequence[LineRow]) -> None:
    """Print a table for each gateway; columns that would hold only zeros are left out."""
    from itertools import groupby

    from forebay_fleet.cli import output

    optional = ("thinned", "refused", "islands", "late", "again", "forks")
    head = ("stream", "epoch", "committed", "records", "samples", "gapped", *optional)
    for name, own in groupby(rows, lambda row: row.gateway):
        typer.echo(name)
        table = [
            (
                *(common.stream_name(row.stream), output.short_epoch(row.epoch)),
                row.coverage.committed,
                *(row.records, row.samples, row.gapped, row.thinned, row.refused),
                *(len(row.coverage.islands), row.late, row.duplicates, row.forks),
            )
            for row in own
        ]
        output.table(head, table, optional=optional)


def _line(row: LineRow) -> dict[str, Any]:
    """Give a line of the ledger for JSON."""
    from forebay_fleet.cli import output

    told = row._asdict() | {
        "stream": common.stream_name(row.stream),
        "epoch": output.epoch(row.epoch),
        "committed": row.coverage.committed,
        "islands": [list(island) for island in row.coverage.islands],
        "chain": row.chain.hex(),
    }
    return {name: value for name, value in told.items() if name not in {"id", "coverage"}}


_SUMS = ("records", "samples", "gapped", "thinned", "refused", "forked", "late", "duplicates")


def _stream(mark: Watermark, rows: Sequence[LineRow]) -> dict[str, Any]:
    """Give a stream's account over all its epochs, for JSON."""
    own = [row for row in rows if (row.gateway, row.stream) == (mark.gateway, mark.stream)]
    told = common.mark(mark)
    return {
        "gateway": mark.gateway,
        "stream": told["stream"],
        "watermark": {"epoch": told["epoch"], "seq": told["seq"]},
        "open": mark.open,
        "epochs": len(own),
        "forks": sum(row.forks for row in own),
        **{name: sum(getattr(row, name) for row in own) for name in _SUMS},
    }


def _print_finding(finding: dict[str, Any]) -> None:
    for problem in finding["problems"]:
        typer.echo(f"FAULT    {problem}")
    for hole in finding["missing"]:
        typer.echo(f"MISSING  {hole}")
    for note in finding["notes"]:
        typer.echo(f"NOTE     {note}")
    counts = ", ".join(
        f"{value} {name.replace('_', ' ')}"
        for name, value in finding.items()
        if isinstance(value, int)
        and name != "sound"
        and (value or name in {"records", "samples", "unexplained"})
    )
    verdict = "NOT SOUND" if finding["problems"] else "INCOMPLETE"
    typer.echo(f"{'sound' if finding['sound'] else verdict}: {counts}")


def forks(
    data: common.Data = common.DATA,
    gateway: common.OnlyGateway = None,
    *,
    as_json: common.Json = False,
) -> None:
    """List the alarms: positions that a second, different record claimed."""
    from forebay_fleet.cli import output
    from forebay_fleet.store.reader import StoreReader

    with StoreReader(data) as reader:
        _known(reader, gateway)
        rows = reader.forks(gateway)
    if as_json:
        output.print_json(
            [
                row._asdict()
                | {
                    "stream": common.stream_name(row.stream),
                    "epoch": output.epoch(row.epoch),
                    "kept": row.kept.hex(),
                    "refused": row.refused.hex(),
                }
                for row in rows
            ]
        )
        return
    if not rows:
        typer.echo("no position was ever claimed by two records")
        return
    head = ("gateway", "stream", "position", "samples", "times", "last")
    output.table(
        head,
        [
            (
                *(row.gateway, common.stream_name(row.stream)),
                *(f"{output.short_epoch(row.epoch)}/{row.seq}", row.samples, row.times),
                output.time(row.last_ns),
            )
            for row in rows
        ],
    )


def aside(
    data: common.Data = common.DATA,
    gateway: common.OnlyGateway = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 100,
    *,
    as_json: common.Json = False,
) -> None:
    """List records that were acknowledged and have no place: the database keeps their bytes."""
    from forebay_fleet.cli import output
    from forebay_fleet.store.reader import StoreReader

    with StoreReader(data) as reader:
        _known(reader, gateway)
        rows = reader.aside.listed(gateway, limit)
    if as_json:
        output.print_json(
            [
                row._asdict()
                | {
                    "stream": common.stream_name(row.stream),
                    "epoch": output.epoch(row.epoch),
                    "hash": row.hash.hex(),
                }
                for row in rows
            ]
        )
        return
    if not rows:
        typer.echo("no record is kept aside")
        return
    head = ("gateway", "stream", "position", "why", "bytes", "came")
    table = [
        (
            *(row.gateway, common.stream_name(row.stream)),
            *(f"{output.short_epoch(row.epoch)}/{row.seq}", row.code, row.size),
            output.time(row.at_ns),
        )
        for row in rows
    ]
    output.table(head, table)
