"""`forebay journal`: what rests on disk, as a whole, by segment, by record."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import (
    call,
    journal_browse,
    journal_export,
    journal_forecast,
    journal_offline,
    journal_quarantine,
    output,
)
from forebay.clock import SystemClock
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import (
        JournalStatusReply,
        RecordSummary,
        SegmentStatus,
        StreamStatus,
    )

LEAST_WEAR_S = 600.0
"""How long must have been written before a day's worth is reckoned from it."""

Stream = Annotated[
    str, typer.Option("--stream", help="audit, events, telemetry or bulk.", show_default=False)
]
From = Annotated[
    int,
    typer.Option(
        "--from", min=0, max=(1 << 63) - 1, help="First seq, of the newest run; 0: the newest."
    ),
]
Epoch = Annotated[
    int,
    typer.Option("--epoch", min=0, max=(1 << 31) - 1, help="Of this run only; 0: see --from."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Most records shown.")]


def add(app: typer.Typer, name: str) -> None:
    """Add the group of commands to `app`."""
    group = typer.Typer(
        no_args_is_help=True, help="Look at what rests on disk, and at what is set aside."
    )
    group.command("status")(status)
    group.command("ls")(ls)
    group.command("show")(show)
    journal_offline.add(group)
    journal_export.add(group)
    journal_forecast.add(group)
    journal_quarantine.add(group)
    app.add_typer(group, name=name)


def status(socket: call.Socket = call.SOCKET, *, as_json: call.Json = False) -> None:
    """Show the journal at a glance."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.journal_status()
        output.answer(reply, status_parts(reply, SystemClock().now_ns()), as_json=as_json)


def ls(
    directory: journal_offline.Directory = None,
    stream: Stream = "",
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """List the segments."""
    if directory is not None:
        with call.reporting(as_json=as_json):
            found = journal_browse.segments(directory, stream)
        now_ns = SystemClock().now_ns()
        output.answer(found, segment_parts(found.segments, now_ns), as_json=as_json)
        return
    with call.agent(socket, as_json=as_json, instead=journal_offline.INSTEAD) as agent:
        reply = agent.segments(stream)
        output.answer(reply, segment_parts(reply.segments, SystemClock().now_ns()), as_json=as_json)


def show(
    directory: journal_offline.Directory = None,
    stream: Stream = "telemetry",
    seq_from: From = 0,
    limit: Limit = 20,
    run: Epoch = 0,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Show what is in records: the newest, or those from a seq on."""
    if directory is not None:
        with call.reporting(as_json=as_json):
            found = journal_browse.records(directory, stream, seq_from, limit, run)
            _exists(run, found.records)
        output.answer(found, record_parts(found.records), as_json=as_json)
        return
    with call.agent(socket, as_json=as_json, instead=journal_offline.INSTEAD) as agent:
        reply = agent.records(stream, seq_from, limit, run)
        _exists(run, reply.records)
        output.answer(reply, record_parts(reply.records), as_json=as_json)


def _exists(run: int, found: Sequence[RecordSummary]) -> None:
    """Raise RequestInvalid if a run was asked for and nothing of it is there."""
    if run and not found:
        raise RequestInvalid(
            f"there is no such record of epoch {run}",
            hint="`forebay journal ls` lists the epochs and seqs that are there",
        )


def status_parts(reply: JournalStatusReply, now_ns: int) -> Iterator[RenderableType]:
    """Give what a person sees of the journal as a whole, what is wrong first."""
    if reply.trouble:
        yield output.fault("nothing is written", reply.trouble, "")
    most = f"at most {output.size(reply.max_bytes)}, " if reply.max_bytes else ""
    free = output.size(reply.disk_free_bytes)
    yield Text(f"journal  {reply.directory}, {most}{free} free on its disk")
    yield Text(
        f"commits  {output.count(reply.commits)}, "
        f"p50 {reply.commit_p50_ms:.1f} ms, p99 {reply.commit_p99_ms:.1f} ms"
    )
    yield from _wear(reply)
    held, room = reply.ring_bytes, reply.ring_max_bytes
    yield Text(
        f"memory   {output.size(held)} of {output.size(room)} wait for the disk",
        output.ODD if held * 2 > room else "",
    )
    if reply.thinned_samples:
        yield Text(
            f"thinned  {output.count(reply.thinned_samples)} samples were taken out to make room",
            output.ODD,
        )
    if reply.quarantined_records:
        yield Text(
            f"aside    {output.count(reply.quarantined_records)} records are in quarantine "
            "(forebay journal quarantine ls)",
            output.ODD,
        )
    if not reply.streams:
        yield Text("nothing is journaled yet")
        return
    names = dict.fromkeys(stream.stream for stream in reply.streams)
    yield output.table(
        ("STREAM", ">EPOCH", ">RECORDS", ">SAMPLES", ">SIZE", ">OF", "OLDEST", "NEWEST"),
        [_stream_row([s for s in reply.streams if s.stream == name], now_ns) for name in names],
    )


def _wear(reply: JournalStatusReply) -> Iterator[Text]:
    """Say how much is written to the disk, and what that is a day."""
    if not reply.bytes_written:
        return
    said = (
        f"written  {output.size(reply.bytes_written)} in {output.duration(reply.bytes_written_s)}"
    )
    budget = reply.wear_bytes_per_day
    a_day = reply.bytes_written / max(reply.bytes_written_s, 1.0) * 86_400
    if reply.bytes_written_s < LEAST_WEAR_S:
        yield Text(said)
        return
    said += f", {output.size(a_day)} a day" + (f" of {output.size(budget)}" if budget else "")
    yield Text(said, output.ODD if budget and a_day > budget else "")


def _stream_row(epochs: Sequence[StreamStatus], now_ns: int) -> tuple[str, ...]:
    """Give the row of one stream, all its epochs together; the number is that of the newest."""
    return (
        epochs[-1].stream,
        number(epochs[-1].epoch),
        output.count(sum(one.next_seq - one.first_seq for one in epochs)),
        output.count(sum(one.samples for one in epochs)),
        output.size(sum(one.bytes for one in epochs)),
        output.size(epochs[-1].max_bytes),
        output.age(min((one.oldest_ns for one in epochs if one.oldest_ns), default=0), now_ns),
        output.age(max(one.newest_ns for one in epochs), now_ns),
    )


def segment_parts(found: Iterable[SegmentStatus], now_ns: int) -> Iterator[RenderableType]:
    """Give what a person sees of the segments."""
    rows = [
        (
            segment.stream,
            number(segment.epoch),
            f"{segment.first_seq}-{segment.last_seq}" if segment.last_seq else "empty",
            output.count(segment.samples),
            output.size(segment.bytes),
            "sealed" if segment.sealed else "open",
            output.age(segment.time_max_ns, now_ns) if segment.last_seq else "-",
            segment.file,
        )
        for segment in found
    ]
    if rows:
        yield output.table(
            ("STREAM", ">EPOCH", ">SEQ", ">SAMPLES", ">SIZE", "STATE", "NEWEST", "=FILE"), rows
        )
    else:
        yield Text("there is no segment")


def record_parts(found: Sequence[RecordSummary]) -> Iterator[RenderableType]:
    """Give what a person sees of records; those of several epochs below the number of each."""
    several = len({record.epoch for record in found}) > 1
    for epoch, records in groupby(found, key=lambda record: record.epoch):
        if several:
            yield Text(f"epoch {number(epoch)}", "bold")
        yield _records(records)
    if not found:
        yield Text("there is no such record")


def _records(found: Iterable[RecordSummary]) -> RenderableType:
    rows: list[tuple[str | Text, ...]] = [
        (
            str(record.seq),
            Text(record.kind, output.BAD if record.kind == "gap" else ""),
            output.count(record.samples),
            output.size(record.bytes),
            output.moment(record.time_max_ns),
            record.text,
        )
        for record in found
    ]
    return output.table((">SEQ", "KIND", ">SAMPLES", ">SIZE", "=NEWEST", "WHAT"), rows)


def number(epoch: int) -> str:
    """Give an epoch's number: the higher, the newer."""
    from forebay.model import epoch_number

    return str(epoch_number(epoch))
