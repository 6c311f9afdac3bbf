"""`forebay scan`: which addresses of a device can be read, as a table or as a tag list."""

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

    from forebay._proto.control_pb2 import ScanReply

BITS = frozenset({"coil", "discrete"})
"""Areas whose addresses hold one bit; those of the others hold 16."""
COLUMNS = ("name", "address", "type")

Device = Annotated[str, typer.Argument(help="The device.", show_default=False)]
Area = Annotated[
    list[str],
    typer.Option(
        "--area",
        help="An area to try, such as holding; may be given several times. Left out: all.",
        show_default=False,
    ),
]
First = Annotated[int, typer.Option("--from", min=0, max=65_536, help="The first address.")]
Last = Annotated[
    int | None,
    typer.Option(
        "--to", min=1, max=65_536, help="The last address.", show_default="the last there is"
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="Write a tag list of all that was found; - for standard output.",
    ),
]


def add(app: typer.Typer, name: str) -> None:
    """Add the command to `app`."""
    app.command(name)(scan)


def scan(
    device: Device,
    areas: Area = [],  # noqa: B006 - typer makes a new list for each call
    first: First = 0,
    last: Last = None,
    socket: call.Socket = call.SOCKET,
    *,
    csv_file: Csv = None,
    as_json: call.Json = False,
) -> None:
    """Find out which addresses of a device can be read, by trying them one after the other."""
    found: list[ScanReply] = []
    with call.agent(socket, as_json=as_json) as agent:
        try:
            for one in agent.scan(device, areas, first, last or 0):
                _progress(one)
                if one.count:
                    found.append(one)
        finally:  # what was found before the device fell silent, or the person lost patience
            if csv_file is not None:
                taglist.write(csv_file, COLUMNS, tag_rows(found))
        if csv_file is not None:
            _tell(found, csv_file, as_json=as_json)
        elif as_json:
            output.document({"runs": [output.plain(one) for one in found]})
        else:
            output.show(parts(found))


def _progress(one: ScanReply) -> None:
    """Say on standard error where the search is."""
    if one.count:
        text = f"{one.area}:{one.start} to {one.start + one.count - 1} can be read"
    else:
        text = f"nothing new up to {one.area}:{one.start}"
    print(f"forebay: {text}", file=sys.stderr)


def _tell(found: Sequence[ScanReply], csv_file: Path, *, as_json: bool) -> None:
    tags = sum(one.count for one in found)
    if as_json:
        output.document({"tags": tags})
    elif str(csv_file) != "-":
        print(f"wrote {output.count(tags)} tags")


def parts(found: Sequence[ScanReply]) -> Iterator[RenderableType]:
    """Give what a person sees."""
    if not found:
        yield Text("nothing there can be read")
        return
    yield output.table(
        ("AREA", ">FROM", ">TO", ">COUNT"),
        [
            (one.area, str(one.start), str(one.start + one.count - 1), output.count(one.count))
            for one in found
        ],
    )


def tag_rows(found: Iterable[ScanReply]) -> Iterator[tuple[str, str, str]]:
    """Give a row of a tag list, name, address and type, for each address that was found."""
    for one in found:
        kind = "bool" if one.area in BITS else "uint16"
        for address in range(one.start, one.start + one.count):
            yield f"{one.area}_{address}", f"{one.area}:{address}", kind
