"""What commands print: tables, times, JSON; and the times that people write.

Must not know what is shown.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import typer

from forebay_fleet.values.spans import moment_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SECOND = 1_000_000_000
_UNITS = (
    (1, "ns", 1000),
    (1000, "us", 1_000_000),
    (1_000_000, "ms", _SECOND),
    (_SECOND, "s", 120 * _SECOND),
    (60 * _SECOND, "min", 7200 * _SECOND),
    (3600 * _SECOND, "h", 172_800 * _SECOND),
    (86_400 * _SECOND, "d", 0),
)
"""ns in a unit, its name, and from how many ns on the next one is used."""
_ORIGIN = dt.datetime.fromtimestamp(0, dt.UTC)


def parse_time(text: str | None, default_ns: int) -> int:
    """Turn a time that somebody wrote into ns since 1970; see `moment_ns`."""
    return default_ns if text is None else moment_ns(text)


def time(time_ns: int) -> str:
    """Give ns since 1970 as ISO 8601 with milliseconds, a dash for never."""
    if time_ns == 0:
        return "-"
    moment = _ORIGIN + dt.timedelta(microseconds=time_ns // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(ns: int) -> str:
    """Give a duration with about three digits: `5 ns`, `3 ms`, `1.2 s`, `5 min`, `2 d`."""
    size_ns, unit = next(
        (size, unit) for size, unit, most in _UNITS if abs(ns) < most or unit == "d"
    )
    return f"{ns / size_ns:.3g} {unit}"


def epoch(number: int) -> str:
    """Give an epoch as it stands in JSON and on the gateway's disk: 16 hex digits."""
    return f"{number:016x}"


def short_epoch(number: int) -> str:
    """Give an epoch as people read it: its counter, the upper 32 bits. The rest is random."""
    return str(number >> 32)


def print_json(value: object) -> None:
    """Print one JSON document, NaN and infinities as Python writes them."""
    typer.echo(json.dumps(value, allow_nan=True))


def counted(number: int, one: str, more: str = "") -> str:
    """Give a number and what it counts: `1 box`, `2 boxes`; `more` is the plural without an s."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def readable(text: str) -> str:
    """Give what a person can read of a text from outside: no terminal takes it for an order."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, optional: Iterable[str] = ()
) -> None:
    """Print aligned columns, numbers to the right; `optional` columns only if not all are 0."""
    for line in lines(head, list(rows), optional):
        typer.echo(line)


def lines(
    head: Sequence[str], rows: Sequence[Sequence[object]], optional: Iterable[str] = ()
) -> list[str]:
    """Give the lines of a table."""
    hidden = {name for name in optional if not any(row[head.index(name)] for row in rows)}
    kept = [at for at, name in enumerate(head) if name not in hidden]
    values = [[row[at] for at in kept] for row in rows]
    cells = [[head[at] for at in kept], *([readable(str(cell)) for cell in row] for row in values)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(kept))]
    right = [
        bool(values) and all(isinstance(row[at], int | float) or row[at] == "-" for row in values)
        for at in range(len(kept))
    ]
    return [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
