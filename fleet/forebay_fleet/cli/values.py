"""The command that shows values: query.

Owns its arguments and what it prints. Must not know how anything is found. What it needs is
imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_fleet.losses import Loss
    from forebay_fleet.query import TagHistory, Value

MAX_LOSSES = 10_000
"""Lines of what is missing that one query shows."""


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(query)


def query(  # noqa: PLR0913 - the options of the command
    gateway: Annotated[str, typer.Option(help="Id of the gateway.")],
    tag: Annotated[str, typer.Option(help="DEVICE/TAG.")],
    data: common.Data = common.DATA,
    since: Annotated[
        str | None, typer.Option("--from", help="First source time, ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last source time, ISO 8601.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000_000, help="So many values.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="With --ordered: behind EPOCH/SEQ, as JSON tells it.")
    ] = None,
    *,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="The oldest first, by position, up to the watermark.")
    ] = False,
    raw_times: Annotated[
        bool, typer.Option("--raw-times", help="Times as the gateway stamped them.")
    ] = False,
    as_json: common.Json = False,
) -> None:
    """Print the newest values of a tag, oldest first, and what is missing between them."""
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError
    from forebay_fleet.losses import losses
    from forebay_fleet.query import TagHistory
    from forebay_fleet.query import query as ask
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.telling import position, told

    if (ordered and (since or until)) or (after and not ordered):
        raise UsageError("--ordered goes by position, --from and --to by time", hint="see --help")
    span_ns = (output.parse_time(since, -(1 << 62)), output.parse_time(until, 1 << 62))
    with StoreReader(data) as reader:
        history = TagHistory(reader, gateway, tag, raw_times=raw_times)
        if ordered:
            _print_ordered(history, position(after), limit, as_json=as_json)
            return
        answer = ask(history, span_ns, limit)
        if len(answer.values) == limit:  # older ones were not asked for, nor is what misses there
            span_ns = (answer.values[0].time_ns, span_ns[1])
        missing = losses(history, span_ns)[-MAX_LOSSES:]
    if as_json:
        output.print_json(
            {
                "gateway": gateway,
                "tag": tag,
                "unit": answer.unit,
                "values": [told(value) for value in answer.values],
                "missing": [loss._asdict() for loss in missing],
            }
        )
        return
    _print_values(answer.values, answer.unit, missing)


def _print_ordered(
    history: TagHistory, after: tuple[int, int], limit: int, *, as_json: bool
) -> None:
    from forebay_fleet.cli import output
    from forebay_fleet.query import ordered as ask
    from forebay_fleet.values.telling import told

    page = ask(history, after, limit)
    if not as_json:
        _print_values(page.values, page.unit, [])
        return
    epoch, seq = page.after
    output.print_json(
        {
            "gateway": history.gateway,
            "tag": f"{history.device}/{history.tag}",
            "unit": page.unit,
            "values": [told(value) for value in page.values],
            "after": f"{output.epoch(epoch)}/{seq}",
            "watermark": page.watermark and common.mark(page.watermark),
        }
    )


def _shown(value: float | str | bytes | None) -> float | str:
    """Give `value` as a cell; of bytes their length."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return "-" if value is None else value


_MARKS = {"mended": "*", "unsynced": "?"}


def _print_values(values: Sequence[Value], unit: str, missing: Sequence[Loss]) -> None:
    """Print values in their order, and before each what begins to miss at or before it."""
    from forebay_fleet.cli import output
    from forebay_fleet.query import quality_name

    head = ("time", "value", "unit", "quality", "received")
    rows = [
        (
            output.time(value.time_ns) + _MARKS.get(value.clock, ""),
            _shown(value.value),
            unit,
            quality_name(value.quality),
            f"{output.duration(value.received_ns - value.time_ns)} later",
        )
        for value in values
    ]
    titles, *printed = output.lines(head, rows)
    typer.echo(titles)
    told = 0
    for value, line in zip(values, printed, strict=True):
        while told < len(missing) and missing[told].time_from_ns <= value.time_ns:
            typer.echo(_loss(missing[told]))
            told += 1
        typer.echo(line)
    for loss in missing[told:]:
        typer.echo(_loss(loss))
    clocks = {value.clock.value for value in values}
    if "mended" in clocks:
        typer.echo("* nothing had set the gateway's clock: mended; --raw-times shows what it said")
    if "unsynced" in clocks:
        typer.echo("? nothing had set the gateway's clock: nobody can know how wrong it was")


def _loss(loss: Loss) -> str:
    from forebay_fleet.cli import output

    if loss.cause == "NOT_POLLED":
        count = "nothing was asked for"
    elif loss.cause == "NOT_COMPUTED":
        count = f"no results of {loss.source}"
    elif loss.samples is None:
        count = "nobody knows how many samples"
    else:
        count = f"{loss.samples} samples of {loss.source or 'all devices'}"
    spent = output.duration(loss.time_to_ns - loss.time_from_ns)
    return f"{output.time(loss.time_from_ns)}  -- {loss.cause} for {spent}: {count}"
