"""`forebay journal export`: readings out of the journal, as a file of one's own."""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, output
from forebay.cli.journal_offline import Directory, directory_of, progress
from forebay.clock import SystemClock
from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from rich.console import RenderableType

    from forebay.journal.export import Choice, Item
    from forebay.journal.offline import OfflineJournal
    from forebay.model import Record

FORMATS = ("jsonl", "csv", "parquet", "segments")
SHOWN_ROWS = 20

Stream = Annotated[
    str, typer.Option("--stream", help="audit, events, telemetry or bulk; `all` for all of them.")
]
From = Annotated[
    str,
    typer.Option(
        "--from", help="First source time: ISO 8601, or a duration before now.", show_default=False
    ),
]
To = Annotated[
    str, typer.Option("--to", help="Last source time, written as --from.", show_default=False)
]
Device = Annotated[str, typer.Option("--device", help="Shell pattern on the device.")]
Tag = Annotated[str, typer.Option("--tag", help="Shell pattern on the tag.")]
Format = Annotated[str, typer.Option("--format", help="jsonl, csv, parquet or segments.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        readable=False,
        help="A file that does not exist yet (segments: a directory); else standard output.",
        show_default=False,
    ),
]


def add(group: typer.Typer) -> None:
    """Add the command to the group `forebay journal`."""
    group.command("export")(export)


def export(  # noqa: PLR0913, PLR0917 - one argument an option
    directory: Directory = None,
    stream: Stream = "telemetry",
    begin: From = "",
    end: To = "",
    device: Device = "*",
    tag: Tag = "*",
    form: Format = "jsonl",
    target: Output = None,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Write readings, scaled, with a row of its own for whatever is missing."""
    where = directory_of(directory, socket, as_json=as_json)
    with call.reporting(as_json=as_json):
        from forebay.files import SystemDisk
        from forebay.journal import export as journal
        from forebay.journal.offline import OfflineJournal

        choice = journal.Choice(
            streams=_streams(stream),
            begin_ns=when(begin, "--from") if begin else -journal.FOREVER_NS,
            end_ns=when(end, "--to") if end else journal.FOREVER_NS,
            device=device,
            tag=tag,
        )
        if choice.begin_ns > choice.end_ns:
            raise RequestInvalid(
                "--from is later than --to",
                hint="a duration counts back from now: the hour before the last two is "
                "--from 3h --to 2h",
            )
        found = OfflineJournal(where, SystemDisk())
        if form == "segments":
            _segments(found, choice, target, as_json=as_json)
            return
        journal.known(found, choice)
        with progress("export") as tell:
            write(journal.export(found, choice, tell), form, target, as_json=as_json)


def _streams(name: str) -> Any:  # noqa: ANN401 - tuple of Stream, which is loaded only when asked
    from forebay.model import Stream as Streams

    if name == "all":
        return tuple(Streams)
    if name not in tuple(Streams):
        raise RequestInvalid(
            f"there is no stream {name!r}", hint=f"streams are: {', '.join(Streams)}, or all"
        )
    return (Streams(name),)


def when(text: str, option: str) -> int:
    """Give a moment, ns since 1970 UTC; without an offset it is of this machine's time zone."""
    from forebay.settings import parse_duration

    try:
        seconds: float = parse_duration(text)
        return SystemClock().now_ns() - round(seconds * 1e9)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestInvalid(
            f"{option} {text!r} is neither a time nor a duration",
            hint="write 2026-11-22T05:30, 2026-11-22T05:30:00Z or '2 h', which means two hours ago",
        ) from None
    return round(moment.astimezone().timestamp() * 1_000_000) * 1_000


def write(items: Iterable[Item], form: str, target: Path | None, *, as_json: bool) -> None:
    """Write to `target`, which must not exist, or to standard output.

    RequestInvalid and RequestFailed say what cannot be; nothing half written stays.
    """
    if form not in FORMATS[:3]:
        raise RequestInvalid(f"there is no format {form!r}", hint=f"formats: {', '.join(FORMATS)}")
    if target is None:
        if as_json or (form == "parquet" and sys.stdout.isatty()):
            raise RequestInvalid("there is no file to write to", hint="name one with --output")
        _to_stdout(items, form)
        return
    try:
        with target.open("xb") as file:
            try:
                counts = _write(items, form, file)
                os.fsync(file.fileno())
            except BaseException:
                target.unlink()
                raise
    except FileExistsError as error:
        raise RequestInvalid(
            f"{target} is there already", hint="name a file that does not exist yet"
        ) from error
    except OSError as error:
        raise RequestFailed(
            f"{target} cannot be written: {error.strerror or error}",
            hint="look at its disk and at who may write there",
        ) from error
    if as_json:
        output.document({"output": str(target), **counts})
    else:
        output.show([Text(f"{target}: {_counted(counts)}")])


def _to_stdout(items: Iterable[Item], form: str) -> None:
    try:
        _write(items, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # its reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(items: Iterable[Item], form: str, out: BinaryIO) -> dict[str, int]:
    from forebay.journal.export import Absence
    from forebay.journal.exportformats import WRITERS

    writer = WRITERS[form](out)
    samples = gaps = 0
    for item in items:
        writer.write(item)
        if isinstance(item, Absence):
            gaps += 1
        else:
            samples += len(item.kept)
    writer.close()
    return {"samples": samples, "gaps": gaps}


def _counted(counts: dict[str, int]) -> str:
    gaps = counts["gaps"]
    said = f"{output.count(counts['samples'])} samples"
    return said + (f", and {output.count(gaps)} rows of what is missing" if gaps else "")


def _segments(found: OfflineJournal, choice: Choice, target: Path | None, *, as_json: bool) -> None:
    from forebay.journal.exportsegments import MANIFEST, copy_segments

    if target is None:
        raise RequestInvalid("segments need a directory", hint="name a new one with --output")
    if (choice.device, choice.tag) != ("*", "*"):
        raise RequestInvalid(
            "segments are copied whole", hint="leave --device and --tag out, or take another format"
        )
    with progress("copy") as tell:
        copied = copy_segments(found, choice, target, tell)
    size = sum(one.bytes for one in copied)
    if as_json:
        output.document({"output": str(target), "segments": len(copied), "bytes": size})
    else:
        output.show(
            [
                Text(
                    f"{target}: {output.count(len(copied))} segments, {output.size(size)}, "
                    f"their SHA-256 in {MANIFEST}"
                )
            ]
        )


def documents(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Give items as the objects that a file of lines would hold."""
    from forebay.journal.exportformats import JsonLines

    out = io.BytesIO()
    writer = JsonLines(out)
    for item in items:
        writer.write(item)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def item_parts(record: Record, items: Sequence[Item]) -> Iterator[RenderableType]:
    """Give what a person sees of one record: its first samples, or what it says."""
    rows = documents(items)
    samples = [row for row in rows if row["kind"] == "sample"]
    stream, epoch, seq = record.position
    yield Text(
        f"{record.kind.name.lower()} {seq} of {stream.value}, epoch {epoch:016x}: "
        f"{output.count(record.samples)} samples, {output.size(len(record.payload))}"
    )
    for row in rows:
        if row["kind"] == "gap":
            count = "an unknown number of" if row["samples"] is None else row["samples"]
            yield Text(f"{row['cause']}: {count} samples", output.ODD)
    if samples:
        yield output.table(
            ("TIME", "=DEVICE", "=TAG", ">VALUE", "UNIT", "QUALITY"),
            [
                (
                    row["time"],
                    row["device"],
                    row["tag"],
                    "-" if row["value"] is None else json.dumps(row["value"], ensure_ascii=False),
                    row["unit"],
                    row["quality"],
                )
                for row in samples[:SHOWN_ROWS]
            ],
        )
    if (more := len(samples) - SHOWN_ROWS) > 0:
        yield Text(f"and {output.count(more)} more (--json shows all)", output.QUIET)
