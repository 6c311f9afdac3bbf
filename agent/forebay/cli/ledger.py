"""`forebay ledger`: the running account, and whether it balances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import LedgerLine

ACCOUNTS = ("produced", "delivered", "pending", "gapped", "quarantined")


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(ledger)


def ledger(
    socket: call.Socket = call.SOCKET, *, as_json: call.Json = False, watch: call.Watch = False
) -> None:
    """Account for every sample; 1 if it does not balance."""
    with call.agent(socket, as_json=as_json) as agent:
        if watch and not as_json:
            output.watch(lambda: parts(agent.ledger().lines))
            return
        taken_ns = SystemClock().now_ns()  # before it is: all that comes later is newer
        reply = agent.ledger()
        if as_json:
            total = {name: sum(getattr(line, name) for line in reply.lines) for name in ACCOUNTS}
            output.document({"taken_ns": taken_ns, **output.plain(reply), "total": total})
        else:
            output.show(parts(reply.lines))
        if any(missing(line) for line in reply.lines):
            raise typer.Exit(call.EXIT_FAILURE)


def missing(line: LedgerLine) -> int:
    """Give the samples that are neither delivered nor accounted for; negative if too many are."""
    return line.produced - line.delivered - line.pending - line.gapped - line.quarantined


def parts(lines: Sequence[LedgerLine]) -> Iterator[RenderableType]:
    """Give what a person sees: first where it does not balance, then the account."""
    if not lines:
        yield Text("nothing was read yet, and there is no uplink")
        return
    if not any(line.uplink for line in lines):
        yield Text("there is no uplink: what is pending stays in the journal")
    wrong = [line for line in lines if missing(line)]
    for line in wrong:
        yield Text.assemble(
            (f"{line.stream} to {line.uplink} does not balance: ", output.BAD),
            f"{output.count(abs(missing(line)))} samples are "
            f"{'not accounted for' if missing(line) > 0 else 'accounted for twice'}",
        )
    yield from _accounts(lines)
    if held := max(line.accepted for line in lines):
        yield Text(f"{output.count(held)} samples are in memory, not yet durable", output.QUIET)
    if not wrong:
        yield Text("balances: produced = delivered + pending + gapped + quarantined", output.GOOD)


def _accounts(lines: Sequence[LedgerLine]) -> Iterator[RenderableType]:
    """Give a row for each line, or a table for each if the numbers are too long for that."""
    rows: list[tuple[str | Text, ...]] = [
        (line.stream, line.uplink or "-", *_counts(line)) for line in lines
    ]
    wide = output.table(("=STREAM", "=UPLINK", *(f">{name.upper()}" for name in ACCOUNTS)), rows)
    if output.fits(wide):
        yield wide
        return
    for line in lines:
        titles = (f"{line.stream} to {line.uplink}" if line.uplink else line.stream, ">SAMPLES")
        yield output.table(titles, zip(ACCOUNTS, _counts(line), strict=True))


def _counts(line: LedgerLine) -> tuple[Text, ...]:
    styles = {"gapped": output.ODD, "quarantined": output.BAD}
    counts = {name: getattr(line, name) for name in ACCOUNTS}
    return tuple(
        Text(output.count(many), styles.get(name, "") if many else "")
        for name, many in counts.items()
    )
