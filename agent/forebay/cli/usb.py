"""`forebay usb`: carry to this box what its server wants, and from it what no line takes.

Owns the arguments, the files on the stick, and what a person is asked. Must not know what is in a
file: the agent reads bundles and seals data.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from forebay.cli import call, config, output
from forebay.errors import RequestFailed, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay._proto.control_pb2 import BundleReply, CollectDone
    from forebay.control.client import AgentClient

MAX_ACK_BYTES = (1 << 20) - 1024
"""As much as a question to the agent may hold."""
DEFAULT_MIB = 3_584
"""Of payload a file: below the 4 GiB that a file on a FAT32 stick may have."""
SUFFIX = ".fbd"
SHOWN_FILES = 8

Stick = Annotated[Path, typer.Argument(readable=False, metavar="DIR", help="Where the files go.")]
File = Annotated[Path, typer.Argument(readable=False, metavar="FILE", show_default=False)]
Name = Annotated[str, typer.Option(help="What this uplink has not delivered.", show_default=False)]
Mib = Annotated[int, typer.Option(min=1, help="MiB of payload a file.")]
Files = Annotated[int, typer.Option(min=1, max=1_000, help="How many files at most.")]
Yes = Annotated[bool, typer.Option("--yes", help="Begin without asking.")]


def add(app: typer.Typer, name: str) -> None:
    """Add the group of commands to `app`."""
    group = typer.Typer(
        no_args_is_help=True, help="Carry configurations in and data out, where no line does."
    )
    for command in (apply, collect, acknowledge):
        group.command(command.__name__)(command)
    app.add_typer(group, name=name)


def apply(
    path: File,
    socket: call.Socket = call.SOCKET,
    *,
    yes: Yes = False,
    wait: config.Wait = True,
    as_json: call.Json = False,
) -> None:
    """Show what a bundle of the fleet server holds, ask, and have this box try it."""
    with call.agent(socket, as_json=as_json) as agent:
        with _of_disk(path):
            looked = agent.look_at_bundle(path)
        if not as_json:
            output.show(_shown(looked))
        if not yes and not _agreed():
            raise typer.Exit(call.EXIT_FAILURE)
        taken = agent.take_bundle(looked.digest)
        if not taken.attempt:
            _said(taken, as_json=as_json)
            return
    config.follow(socket, taken.attempt, wait=wait, as_json=as_json)


def collect(
    directory: Stick,
    uplink: Name,
    socket: call.Socket = call.SOCKET,
    mib: Mib = DEFAULT_MIB,
    files: Files = 1,
    *,
    as_json: call.Json = False,
) -> None:
    """Write what an uplink has not delivered to files that the fleet server alone can read.

    It stays in the journal until the server's answer was brought back: `forebay usb acknowledge`.
    """
    made: list[dict[str, Any]] = []
    with call.agent(socket, as_json=as_json) as agent:
        after = b""
        for _ in range(files):
            path, after, done = _written(agent, directory, uplink, mib << 20, after)
            made.append({"file": str(path), "collection": after.hex(), **output.plain(done)})
            if not as_json:
                output.show(_collected(path, done))
            if not done.more:
                break
    if as_json:
        output.document({"uplink": uplink, "files": made})
    elif done.more:
        print("there is more: collect again with --files, or when this was acknowledged")


def acknowledge(
    paths: Annotated[
        list[Path], typer.Argument(readable=False, metavar="FILE...", show_default=False)
    ],
    socket: call.Socket = call.SOCKET,
    *,
    as_json: call.Json = False,
) -> None:
    """Take the server's signed answers to collections: what it has may go from the journal."""
    replies = []
    with call.agent(socket, as_json=as_json) as agent:
        for path in paths:
            with _of_disk(path), path.open("rb") as file:
                signed = file.read(MAX_ACK_BYTES + 1)
            if len(signed) > MAX_ACK_BYTES:
                raise RequestInvalid(
                    f"{path} is too large for an acknowledgement", hint="is it the right file?"
                )
            reply = agent.acknowledge(signed)
            replies.append({"file": str(path), **output.plain(reply)})
            if not as_json:
                output.show(_answered(reply))
        if as_json:
            output.document(replies)


# --- files ----------------------------------------------------------------------------------------


def _written(
    agent: AgentClient, directory: Path, uplink: str, max_bytes: int, after: bytes
) -> tuple[Path, bytes, CollectDone]:
    """Write one collection, whole or not at all; give the file, its collection, what is in it."""
    parts = agent.collect(uplink, max_bytes, after)
    with contextlib.closing(parts), _of_disk(directory):
        first = next(parts)
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = directory / f"{first.gateway}-{moment}-{first.collection.hex()[:8]}{SUFFIX}"
        temporary = path.with_name(f"{path.name}.part")
        done = None
        try:
            with temporary.open("xb") as file:
                for part in parts:
                    file.write(part.data)
                    if part.HasField("done"):
                        done = part.done
                file.flush()
                os.fsync(file.fileno())
            if done is None:
                raise RequestFailed("the agent ended it early", hint="collect again")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _flush(directory)
    return path, first.collection, done


def _flush(directory: Path) -> None:
    """Have the directory's entries on the stick before anybody pulls it out."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _of_disk(path: Path) -> Iterator[None]:
    """Turn an OSError into RequestInvalid about `path`."""
    try:
        yield
    except OSError as error:
        raise RequestInvalid(
            f"{error.filename or path}: {error.strerror}", hint="check the stick and its room"
        ) from error


def _agreed() -> bool:
    """Ask the person at the box. RequestInvalid where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise RequestInvalid("nobody is there to confirm it", hint="look at it, and add --yes")
    return typer.confirm("Have this box run it?")


# --- what is shown --------------------------------------------------------------------------------


def _shown(looked: BundleReply) -> Iterator[Text]:
    yield Text.assemble(("signed", output.GOOD), f" for {output.clean(looked.gateway)}")
    rows = [
        ("version", f"{looked.version}{', seen before' if looked.known else ''}"),
        ("issued", f"{output.moment(looked.issued_ns)} by {looked.issuer or '-'}"),
        ("expires", output.moment(looked.expires_ns)),
        ("reason", looked.reason or "-"),
        ("hash", looked.config_hash[: config.HASH_CHARACTERS] or "-"),
        ("files", _listed(looked.files)),
        ("packages", _listed(looked.packages)),
    ]
    for name, value in rows:
        yield Text(output.clean(f"{name:<10}{value}"))


def _listed(names: Any) -> str:  # noqa: ANN401 - a repeated field
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return ", ".join(names[:SHOWN_FILES]) + more or "-"


def _said(taken: BundleReply, *, as_json: bool) -> None:
    if as_json:
        document = output.plain(taken)
        document["digest"] = taken.digest.hex()
        output.document(document)
    else:
        print("taken: it says nothing of the configuration")


def _collected(path: Path, done: CollectDone) -> Iterator[Text]:
    size = output.size(done.payload_bytes)
    yield Text(output.clean(f"{path}: {output.counted(done.records, 'record')}, {size}"))
    if done.time_min_ns:
        begin, end = output.moment(done.time_min_ns), output.moment(done.time_max_ns)
        yield Text(f"from {begin} to {end}", output.QUIET)


def _answered(reply: Any) -> Iterator[Text]:  # noqa: ANN401 - AcknowledgeReply
    yield Text(output.clean(f"{reply.uplink}: {output.counted(reply.records, 'record')} delivered"))
    if reply.refused:
        text = (
            f"{reply.refused:,} of them were refused and set aside: forebay journal quarantine ls"
        )
        yield Text(text, output.ODD)
    for remark in reply.remarks:
        yield Text(output.clean(f"note: {remark}"), output.ODD)
