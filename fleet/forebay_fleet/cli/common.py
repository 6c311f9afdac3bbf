"""What the commands share: their options, and names as everybody writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    from forebay_fleet.access.roles import Principal
    from forebay_fleet.db.database import Database
    from forebay_fleet.watermark import Watermark

MOST_S = 36_525 * 86_400.0
"""The longest span of time that anybody means; beyond it dates cannot be written any more."""
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
    found = float(match[1]) * {"s": 1, "min": 60, "h": 3600, "d": 86_400}[match[2]]
    if found > MOST_S:
        raise UsageError(f"{text!r} is longer than a century", hint="write 30d, 24h or 90min")
    return found


def least_version(text: str) -> str:
    """Give a version that agents are held against, or nothing. UsageError for anything else."""
    from forebay_fleet.errors import UsageError

    if text and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}", text) is None:
        raise UsageError(f"{text!r} is no version of an agent", hint="write --min-agent 1.2.0")
    return text


def user() -> str:
    """Give who runs this command, 64 characters at most: the name, or the number of one without."""
    import getpass
    import os

    try:
        return getpass.getuser()[:64]
    except (KeyError, OSError):  # as in a container
        return f"uid-{os.getuid()}"


def principal() -> Principal:
    """Give who runs this command: whoever has the data directory may do everything."""
    from forebay_fleet.access.roles import Principal, Role

    return Principal(user(), Role.ADMIN, "command line")


def noted(
    what: str, subject: str, why: str, details: dict[str, object] | None = None
) -> Callable[[Database], None]:
    """Give what writes down, within the transaction that does it, what this command does."""
    from forebay_fleet.access import trail

    who = principal()
    return lambda db: trail.note(db, who, what, subject, why, details)


def word(kind: EnumTypeWrapper, number: int, prefix: str) -> str:
    """Give the name of an enum's value as people read it; the number of one that is not known."""
    try:
        return kind.Name(number).removeprefix(prefix).lower()
    except ValueError:
        return str(number)


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
