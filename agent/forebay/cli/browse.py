"""`forebay browse`: what a device says it has, as a table or as a tag list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from forebay.cli import call, output, taglist

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from forebay._proto.control_pb2 import BrowseReply

MAX_NAME = 128
"""Characters of a tag's name."""
_MAX_ADDRESS, _MAX_UNIT, _MAX_DESCRIPTION = 4096, 32, 512
_MAX_TAGS = 100_000
"""What a tag list holds, of each column and in all."""
_COLUMNS = ("name", "address", "type", "unit", "description")

Device = Annotated[str, typer.Argument(help="The device.", show_default=False)]
Pattern = Annotated[
    str,
    typer.Argument(
        help="A shell pattern for each part of a path (Press/*/Temp*); ** is any number of parts."
        " Left out: the top.",
        show_default=False,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv", metavar="FILE", help="Write a tag list of all values found; - for standard output."
    ),
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(browse)


def browse(
    device: Device,
    pattern: Pattern = "",
    socket: call.Socket = call.SOCKET,
    *,
    csv_file: Csv = None,
    as_json: call.Json = False,
) -> None:
    """List what a device has, by asking the device."""
    with call.agent(socket, as_json=as_json) as agent:
        found = list(agent.browse(device, pattern))
        if csv_file is not None:
            tags, left_out = tag_rows(found)
            taglist.write(csv_file, _COLUMNS, tags)
            if as_json:
                output.document({"tags": len(tags), "left_out": sum(map(len, left_out.values()))})
                return
            if str(csv_file) != "-":
                print(f"wrote {output.count(len(tags))} tags")
            for why, paths in left_out.items():
                first = output.clean(paths[0]) or "without a name"
                line = f"left out {output.count(len(paths))}, {why}; the first: {first}"
                print(line, file=sys.stderr)
        elif as_json:
            output.document({"found": [output.plain(one) for one in found]})
        else:
            output.show(parts(found))


def parts(found: Sequence[BrowseReply]) -> Iterator[RenderableType]:
    """Give what a person sees."""
    if not found:
        yield Text("nothing matches; ** stands for any number of parts of a path")
        return
    yield output.table(
        ("=PATH", "=KIND", "=TYPE", "UNIT", "=ADDRESS", "DESCRIPTION"),
        [
            (
                one.path + ("/" if one.kind == "folder" else ""),
                Text(output.clean(one.kind), "" if one.type else output.QUIET),
                one.type or "-",
                one.unit,
                one.address,
                one.description,
            )
            for one in found
        ],
    )


def tag_rows(
    found: Iterable[BrowseReply],
) -> tuple[list[tuple[str, ...]], dict[str, list[str]]]:
    """Give a row of a tag list for each value, and the paths left out by the reason.

    A name is the path, or the address of what has none; no name comes twice. What is no value, or
    fits no column, is neither.
    """
    rows: list[tuple[str, ...]] = []
    left_out: dict[str, list[str]] = {}
    taken: set[str] = set()
    for one in found:
        if one.kind != "value" or not one.type:
            continue
        why = _unfit(one.address) if len(rows) < _MAX_TAGS else "more than a tag list holds"
        if why:
            left_out.setdefault(why, []).append(one.path)
            continue
        name = _fresh(output.clean(one.path).strip() or output.clean(one.address), taken)
        taken.add(name)
        unit = output.clean(one.unit)[:_MAX_UNIT]
        description = output.clean(one.description)[:_MAX_DESCRIPTION]
        rows.append((name, one.address, one.type, unit, description))
    return rows, left_out


def _unfit(address: str) -> str:
    """Say why a tag list cannot hold `address` as it is; nothing if it can."""
    if "\n" in address or "\r" in address:
        return "with a line break in the address"
    if address != address.strip():
        return "with a blank at an end of the address"
    return "with an address that is too long" if len(address) > _MAX_ADDRESS else ""


def _fresh(path: str, taken: set[str]) -> str:
    """Give a name for `path` that nobody has: its end, if it is long, and a number if need be."""
    name = path if len(path) <= MAX_NAME else f"\N{HORIZONTAL ELLIPSIS}{path[1 - MAX_NAME :]}"
    number = 1
    while name in taken:
        number += 1
        tail = f"~{number}"
        name = path[: MAX_NAME - len(tail)] + tail
    return name
