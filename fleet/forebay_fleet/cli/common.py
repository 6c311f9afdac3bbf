"""What the commands share: their options, and names as everybody writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from forebay_fleet.watermark import Watermark

DATA = Path("/var/lib/forebay-fleet")
Data = Annotated[Path, typer.Option("--data", envvar="FOREBAY_FLEET_DATA", help="Data directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OnlyGateway = Annotated[str | None, typer.Option("--gateway", help="Only this gateway.")]


def stream_name(number: int) -> str:
    """Give the name of a stream, as everybody writes it."""
    from forebay_fleet._proto import uplink_pb2

    return uplink_pb2.Stream.Name(number).lower()


def mark(mark: Watermark) -> dict[str, Any]:
    """Give a watermark for JSON."""
    from forebay_fleet.cli import output

    return {
        "stream": stream_name(mark.stream),
        "epoch": output.epoch(mark.epoch),
        "seq": mark.seq,
        "open": mark.open,
    }
