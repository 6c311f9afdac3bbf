"""What the commands share: their options, and names as everybody writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from forebay_fleet.watermark import Watermark

DATA = Path("/var/lib/forebay-fleet")
Data = Annotated[Path, typer.Option("--data", envvar="FOREBAY_FLEET_DATA", help="Data directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OnlyGateway = Annotated[str | None, typer.Option("--gateway", help="Only this gateway.")]


def seconds(text: str) -> float:
    """Read a span of time: a number and s, min, h or d. UsageError for anything else."""
    from forebay_fleet.errors import UsageError

    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(s|min|h|d)", text)
    if match is None or not float(match[1]):
        raise UsageError(f"{text!r} is no span of time", hint="write 30d, 24h, 90min or 20s")
    return float(match[1]) * {"s": 1, "min": 60, "h": 3600, "d": 86_400}[match[2]]


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
