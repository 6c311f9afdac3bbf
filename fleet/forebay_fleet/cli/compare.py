"""What `ledger --against` prints. Must not know how two accounts are compared (`comparison`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.store.reader import StoreReader


def run(
    reader: StoreReader, gateway: str | None, asked: tuple[Path, str | None], *, as_json: bool
) -> None:
    """Compare with the account of `asked`, a file and an uplink; exit 1 if they differ.

    Raises UsageError for a file that is no account, or one of several uplinks.
    """
    import time

    from forebay_fleet import comparison as by
    from forebay_fleet.cli import output
    from forebay_fleet.errors import UsageError
    from forebay_fleet.watermark import watermarks

    if gateway is None:
        raise UsageError("--against compares one gateway", hint="name it: --gateway ID")
    document = _read(asked[0])
    reader.snapshot()
    theirs = by.gateway_accounts(document, asked[1])
    taken_ns = by.taken_ns(document)
    age_ns = None if taken_ns is None else time.time_ns() - taken_ns
    ahead = age_ns is not None and age_ns < -by.CLOCKS_DIFFER_NS
    newer = None
    if taken_ns is not None and not ahead:
        newer = reader.samples_since(gateway, taken_ns - by.CLOCKS_DIFFER_NS)
    rows = reader.lines(gateway)
    open_ = {mark.stream: mark.open for mark in watermarks(rows)}
    ours = {
        common.stream_name(stream): account
        for stream, account in by.server_accounts(
            rows, open_, newer, restored=reader.restored
        ).items()
    }
    found = [
        by.compare(
            stream, theirs.get(stream, by.GatewayAccount()), ours.get(stream, by.ServerAccount())
        )
        for stream in dict.fromkeys((*theirs, *ours))
    ]
    if as_json:
        output.print_json(
            {
                "gateway": gateway,
                "age_s": None if age_ns is None else age_ns / 1e9,
                "streams": [one.as_dict() for one in found],
            }
        )
    else:
        head = ("stream", "delivered", "here", "gone", "gone here", "pending", "verdict")
        table = [
            (
                *(one.stream, one.gateway.delivered, one.server.samples, one.gateway.gone),
                *(one.server.gone, one.gateway.pending, one.verdict.value),
            )
            for one in found
        ]
        output.table(head, table)
        for one in found:
            for reason in one.reasons:
                typer.echo(f"{one.stream}: {reason}")
        typer.echo(_age(age_ns, ahead=ahead))
    if any(one.verdict is by.Verdict.DIFFER for one in found):
        raise typer.Exit(1)


def _age(age_ns: int | None, *, ahead: bool) -> str:
    from forebay_fleet.cli import output

    if age_ns is None:
        return "the gateway's account does not say when it was taken"
    if ahead:
        by = output.duration(-age_ns)
        return f"the gateway's clock is {by} ahead: what is newer than its account is not known"
    return f"the gateway's account is {output.duration(max(age_ns, 0))} old"


def _read(path: Path) -> bytes:
    import sys

    from forebay_fleet.comparison import MAX_DOCUMENT_BYTES
    from forebay_fleet.errors import UsageError

    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(MAX_DOCUMENT_BYTES)
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise UsageError(str(error), hint="name a file that can be read, or -") from None
