"""`forebay journal quarantine`: the records on which a destination failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call, journal_export, journal_offline, output
from forebay.clock import SystemClock
from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import QuarantinedRecord
    from forebay.control.client import AgentClient
    from forebay.journal.export import Item
    from forebay.model import Record

Uplink = Annotated[str, typer.Option("--uplink", help="Only this uplink's.", show_default=False)]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID...", help="As `ls` shows them.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All of them; with --uplink, all of its.")]


def add(app: typer.Typer) -> None:
    """Add the group of commands to `app`."""
    group = typer.Typer(
        no_args_is_help=True, help="Look at the records on which a destination failed, and decide."
    )
    group.command("ls")(ls)
    group.command("show")(show)
    group.command("retry")(retry)
    group.command("export")(export)
    group.command("drop")(drop)
    app.add_typer(group, name="quarantine")


def ls(
    uplink: Uplink = "", socket: call.Socket = call.SOCKET, *, as_json: call.Json = False
) -> None:
    """List what is set aside, oldest first."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.quarantine(uplink)
        output.answer(reply, parts(reply.records, SystemClock().now_ns()), as_json=as_json)


def show(
    copy_id: Annotated[str, typer.Argument(metavar="ID", help="As `ls` shows it.")],
    directory: journal_offline.Directory = None,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Show what is in one record."""
    where = journal_offline.directory_of(directory, socket, as_json=as_json)
    with call.reporting(as_json=as_json):
        record, items = _read(where, [copy_id])[0]
        if as_json:
            output.document({"id": copy_id, "rows": journal_export.documents(items)})
        else:
            output.show(journal_export.item_parts(record, items))


def export(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `ls` shows them.")],
    directory: journal_offline.Directory = None,
    form: journal_export.Format = "jsonl",
    target: journal_export.Output = None,
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Write what is in records, in the formats of `forebay journal export`."""
    where = journal_offline.directory_of(directory, socket, as_json=as_json)
    with call.reporting(as_json=as_json):
        found = [item for _, items in _read(where, ids) for item in items]
        journal_export.write(found, form, target, as_json=as_json)


def _read(directory: Path, ids: Sequence[str]) -> list[tuple[Record, list[Item]]]:
    from forebay.files import SystemDisk
    from forebay.journal.export import quarantined
    from forebay.journal.offline import OfflineJournal

    journal = OfflineJournal(directory, SystemDisk())
    return [quarantined(journal, one) for one in ids]


def retry(
    ids: Ids = None,
    uplink: Uplink = "",
    socket: call.Socket = call.SOCKET,
    *,
    everything: All = False,
    as_json: call.Json = False,
) -> None:
    """Send records once more; what is acknowledged leaves the quarantine. 1 if any stays."""
    with call.agent(socket, as_json=as_json) as agent:
        done: list[str] = []
        failed: list[str] = []
        for reply in agent.retry_quarantined(_chosen(agent, ids, uplink, everything=everything)):
            done += reply.done
            failed += reply.failed
        _tell("delivered", done, failed, as_json=as_json)


def drop(
    ids: Ids = None,
    uplink: Uplink = "",
    socket: call.Socket = call.SOCKET,
    *,
    everything: All = False,
    as_json: call.Json = False,
) -> None:
    """Remove records for good; `export` writes them to a file first. 1 if any stays."""
    with call.agent(socket, as_json=as_json) as agent:
        reply = agent.drop_quarantined(_chosen(agent, ids, uplink, everything=everything))
        _tell("dropped", list(reply.done), list(reply.failed), as_json=as_json)


def _chosen(
    agent: AgentClient, ids: Sequence[str] | None, uplink: str, *, everything: bool
) -> Sequence[str]:
    """Give the ids that a person means; RequestInvalid where that is not clear."""
    if bool(ids) == everything or (ids and uplink):
        raise RequestInvalid(
            "it is not clear which records are meant",
            hint="name their ids, or give --all, or --all with --uplink",
        )
    if ids:
        return ids
    return [record.id for record in agent.quarantine(uplink).records]


def _tell(word: str, done: Sequence[str], failed: Sequence[str], *, as_json: bool) -> None:
    """Say what became of the records; ends with 1 if any stays."""
    if as_json:
        output.document({"done": done, "failed": failed})
    else:
        for line in failed:
            output.show([Text.assemble(("stays  ", output.BAD), output.clean(line))])
        output.show([Text(f"{output.count(len(done))} {word}, {output.count(len(failed))} stay")])
    if failed:
        raise typer.Exit(call.EXIT_FAILURE)


def parts(found: Sequence[QuarantinedRecord], now_ns: int) -> Iterator[RenderableType]:
    """Give what a person sees: two lines a record, since ids are to be copied whole."""
    for record in found:
        yield Text(output.clean(record.id), "bold")
        yield Text.assemble(
            f"  {record.kind}, {output.count(record.samples)} samples, "
            f"{output.size(record.bytes)}, {output.age(record.at_ns, now_ns)}, ",
            (output.clean(record.code), output.BAD),
            f": {output.clean(record.reason)}" if record.reason else "",
        )
    if not found:
        yield Text("nothing is in quarantine", output.GOOD)
