"""How answers look: JSON for programs, short tables for tired people.

Owns the JSON form of a message and the look of tables, ages, sizes and times. Must not know what
any column means, nor where an answer comes from.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from google.protobuf.message import Message
    from rich.console import RenderableType
    from rich.measure import Measurement

WATCH_S = 1.0
PIPE_COLUMNS = 10_000
"""How wide a line may be for a program: what it cuts out of a line must not be folded."""
FOLDED = 5
"""How narrow a column may become whose words may break."""
GOOD, ODD, BAD, QUIET = "green", "yellow", "bold red", "dim"

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def document(data: Any) -> None:  # noqa: ANN401 - anything that JSON can say
    """Print one JSON document: on one line, or indented for a person at a terminal."""
    indent = 2 if sys.stdout.isatty() else None
    print(json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent))


def plain(message: Message) -> dict[str, Any]:
    """Give a message as JSON can say it: every field by its name in the .proto file.

    A oneof appears under its own name, None if nothing is set. Infinities and NaN, which JSON
    lacks, become the strings of the protobuf JSON mapping.
    """
    data: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if (oneof := field.containing_oneof) is not None:
            which = message.WhichOneof(oneof.name)
            data[oneof.name] = None if which is None else _scalar(getattr(message, which))
            continue
        value = getattr(message, field.name)
        if not field.is_repeated:
            data[field.name] = _scalar(value)
        elif field.message_type is None:
            data[field.name] = list(value)
        else:
            data[field.name] = [plain(item) for item in value]
    return data


def _scalar(value: Any) -> Any:  # noqa: ANN401 - any scalar of a message
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def answer(reply: Message, parts: Iterable[RenderableType], *, as_json: bool) -> None:
    """Print an answer: as one JSON document, or `parts` of it for a person."""
    if as_json:
        document(plain(reply))
    else:
        show(parts)


def console() -> Console:
    """Give the console on standard output: colours on a terminal only, none with NO_COLOR.

    As wide as the terminal, or as COLUMNS says; without either nothing is folded.
    """
    told = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = None if told else PIPE_COLUMNS
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def show(parts: Iterable[RenderableType]) -> None:
    """Print `parts` one below the other."""
    out = console()
    for part in parts:
        out.print(_fitted(part, out))


def watch(parts: Callable[[], Iterable[RenderableType]]) -> None:
    """Show `parts` anew each WATCH_S until the person interrupts."""
    from rich.console import Group
    from rich.live import Live

    pause, out = threading.Event(), console()

    def picture() -> Group:
        return Group(*(_fitted(part, out) for part in parts()))

    try:
        with Live(picture(), console=out, auto_refresh=False) as live:
            while not pause.wait(WATCH_S):
                live.update(picture(), refresh=True)
    except KeyboardInterrupt:
        return


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Give a table without lines. A column whose title begins with `>` is aligned to the right.

    Words never break in those, nor the names in a column whose title begins with `=` as long as the
    terminal has room; what is too long elsewhere folds, so that nothing is cut off.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in columns:
        right = title.startswith(">")
        made.add_column(
            title.lstrip(">="),
            justify="right" if right else "left",
            no_wrap=right or title.startswith("="),
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(clean(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def fits(made: Table) -> bool:
    """Give whether a table needs no more columns than the terminal has, nothing folded."""
    out = console()
    return _measured(made, out).maximum <= out.width


def _measured(made: Table, out: Console) -> Measurement:
    return made.__rich_measure__(out, out.options.update(max_width=10_000))


def _fitted(part: RenderableType, out: Console) -> RenderableType:
    """Let names fold in a table that would be cut off otherwise, those on the right first."""
    if isinstance(part, Table):
        for column in reversed(part.columns):
            if sum(_least(one) + 2 for one in part.columns) - 2 <= out.width:
                break
            column.no_wrap = column.justify == "right"
    return part


def _least(column: Column) -> int:
    """Give how narrow a column may become."""
    widest = max(map(len, map(str, column.cells)))
    return widest if column.no_wrap else min(widest, FOLDED)


def fault(where: str, message: str, hint: str) -> Text:
    """Give what is wrong with one thing, and below it the next step."""
    said = Text.assemble((f"{where}: ", BAD), clean(message))
    if hint:
        said.append(f"\n  next: {lines(hint)}")
    return said


def lines(text: str) -> str:
    """Give `text` cleaned line by line, those behind the first indented below a `next:`."""
    return "\n        ".join(map(clean, text.split("\n")))


def clean(text: str) -> str:
    """Give `text` with every character that a terminal would obey replaced: devices send texts."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def count(number: int) -> str:
    """Give a count with its thousands apart."""
    return f"{number:,}"


def counted(number: int, one: str) -> str:
    """Give a number and what it counts: `1 record`, `2 records`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def size(count_bytes: float) -> str:
    """Give a size in the largest unit that leaves a whole part: `1.5 GiB`."""
    amount = float(count_bytes)
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount /= 1024
        unit = larger
    return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"


def duration(seconds: float) -> str:
    """Give a duration as people say it: `3.2 s`, `4 min 10 s`, `3 d 4 h`."""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    for (factor, unit), (smaller, below) in zip(_UNITS, (*_UNITS[1:], (1, "s")), strict=True):
        if whole >= factor:
            rest = whole % factor // smaller
            return f"{whole // factor:,} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def age(time_ns: int, now_ns: int) -> str:
    """Give how long ago a wall time was: `3.2 s ago`, `never` for 0."""
    if time_ns == 0:
        return "never"
    seconds = (now_ns - time_ns) / 1e9
    return f"in {duration(-seconds)}" if seconds <= -1 else f"{duration(seconds)} ago"


def moment(time_ns: int) -> str:
    """Give a wall time in this machine's time zone to the millisecond, `-` for 0."""
    if time_ns == 0:
        return "-"
    local = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}"
