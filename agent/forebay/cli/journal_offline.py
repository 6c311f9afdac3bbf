"""`forebay journal verify`, `export`, `forecast`: they read the directory, agent or not."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call, output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from forebay.journal.verify import Report

SETTLE_S = 0.2
SHOWN_PROBLEMS = 50
INSTEAD = "name the journal with --directory"
"""What to do without an agent."""

Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        readable=False,  # the journal's own error has a hint
        help="Of the journal; else the running agent is asked for its own.",
        show_default=False,
    ),
]


def add(group: typer.Typer) -> None:
    """Add the commands to the group `forebay journal`."""
    group.command("verify")(verify)


def directory_of(chosen: Path | None, socket: Path, *, as_json: bool) -> Path:
    """Give the journal to look at: the chosen one, else that of the running agent."""
    if chosen is not None:
        return chosen
    with call.agent(socket, as_json=as_json, instead=INSTEAD) as agent:
        return Path(agent.journal_status().directory)


def verify(
    directory: Directory = None, socket: call.Socket = call.SOCKET, *, as_json: call.Json = False
) -> None:
    """Read every byte of the journal and judge it; 1 if it is not sound."""
    where = directory_of(directory, socket, as_json=as_json)
    with call.reporting(as_json=as_json):
        from forebay.files import SystemDisk
        from forebay.journal import verify as journal

        pause = threading.Event()
        with progress("verify") as tell:
            report = journal.verify(
                where, SystemDisk(), progress=tell, pause=lambda: pause.wait(SETTLE_S)
            )
    if as_json:
        output.document(document(report))
    else:
        output.show(report_parts(report))
    if not report.sound:
        raise typer.Exit(call.EXIT_FAILURE)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows how far it is, on standard error if that is a terminal; bytes of bytes."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def document(report: Report) -> dict[str, object]:
    """Give a report as JSON can say it."""
    from dataclasses import asdict

    return {
        "sound": report.sound,
        "directory": report.directory,
        "streams": [asdict(stream) for stream in report.streams],
        "problems": [problem._asdict() for problem in report.problems],
        "notes": [note._asdict() for note in report.notes],
    }


def report_parts(report: Report) -> Iterator[RenderableType]:
    """Give what a person sees: what is wrong first, the verdict last."""
    for problem in report.problems[:SHOWN_PROBLEMS]:
        yield output.fault(problem.where, problem.what, "")
    if (more := len(report.problems) - SHOWN_PROBLEMS) > 0:
        yield Text(f"and {output.count(more)} more problems (--json names all)", output.BAD)
    for note in report.notes[:SHOWN_PROBLEMS]:
        yield Text.assemble((f"{output.clean(note.where)}: ", output.ODD), output.clean(note.what))
    if (more := len(report.notes) - SHOWN_PROBLEMS) > 0:
        yield Text(f"and {output.count(more)} more of the like (--json names all)", output.ODD)
    yield output.table(
        ("STREAM", ">SEGMENTS", ">RECORDS", ">SAMPLES", ">THINNED", ">SIZE", ">GAPS", ">GONE"),
        [
            (
                stream.stream,
                output.count(stream.segments),
                output.count(stream.records),
                output.count(stream.samples),
                output.count(stream.thinned),
                output.size(stream.bytes),
                output.count(stream.gaps),
                output.count(stream.named_records),
            )
            for stream in report.streams
        ],
    )
    if report.sound:
        yield Text("sound: all that is there is whole, gaps name what is not", output.GOOD)
    else:
        count = len(report.problems)
        yield Text(
            f"not sound: {output.count(count)} problem{'s' if count > 1 else ''}. A start of "
            "the agent mends what can be mended and accounts for the rest.",
            output.BAD,
        )
