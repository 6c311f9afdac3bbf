"""Tag lists: rows of a CSV file, or tables of the main file, become a driver's tag settings.

Owns the form of the CSV file. Must not know any column of any driver but by the driver's tag class.

The file is UTF-8 (a byte order mark may lead it). Cells are separated by commas, or by semicolons
or tabs if the header line has no comma, as spreadsheets export them; quotes follow RFC 4180, but a
cell ends on its own line. The first line that counts is the header; its names may be in any order
and case. Lines that are blank or begin with `#` do not count. An empty cell means the column's
default.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from forebay.config.faults import dotted, explain, meant, shown
from forebay.config.sources import read_text
from forebay.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from forebay.config.faults import Where
    from forebay.settings import TagSettings

MAX_CSV_BYTES = 32 << 20
MAX_TAGS = 100_000
MAX_FAULTS = 200
"""A list with more faults than these has one cause; the rest is counted."""


@dataclass
class TagList:
    """A tag list as far as it could be understood.

    `separator` stands between row and column in the paths of faults. Once it has `begun`, each
    fault is of one row, and the other rows are sound. A `patient` reader goes on however many
    these are.
    """

    separator: str
    tags: dict[str, TagSettings] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    begun: bool = False
    patient: bool = False
    _rows: dict[str, str] = field(default_factory=dict)

    def take(self, values: object, row: str, tag_class: type[TagSettings]) -> None:
        """Validate and keep one row, written at `row`; what is wrong with it becomes faults."""
        try:
            tag = tag_class.model_validate(values)
        except ValidationError as error:
            found = explain(error, tag_class, values, lambda where: self._path(row, where))
            self.faults.extend(found)
            return
        if tag.name in self.tags:
            message = f"the tag {shown(tag.name)} is already defined at {self._rows[tag.name]}"
            hint = "give each tag of a device its own name"
            self.faults.append(Fault(self._path(row, ("name",)), message, hint))
        else:
            self.tags[tag.name] = tag
            self._rows[tag.name] = row

    def place(self, name: str, column: str) -> str:
        """Give the path of one column of the tag `name`."""
        return self._path(self._rows[name], (column,))

    def leave_out(self, name: str) -> None:
        """Do without the tag `name`."""
        self.tags.pop(name, None)

    def _path(self, row: str, where: Where) -> str:
        return f"{row}{self.separator}{dotted(where)}" if where else row

    def is_full(self, place: str) -> bool:
        """Whether the row at `place` is one too many, of tags or of faults; says so as a fault."""
        if len(self.tags) >= MAX_TAGS:
            hint = "split the device into several"
            self.faults.append(Fault(place, f"more than {MAX_TAGS:,} tags in one list", hint))
        elif len(self.faults) >= MAX_FAULTS and not self.patient:
            hint = "correct those first; one cause often makes them all"
            self.faults.append(
                Fault(place, f"the rest is not checked after {MAX_FAULTS} faults", hint)
            )
        else:
            return False
        return True


def read_csv(
    path: Path, name: str, tag_class: type[TagSettings], *, patient: bool = False
) -> TagList:
    """Read a tag list file; what is wrong with it is in `TagList.faults`.

    `name` is how faults call the file: `press.csv:7 address`. `patient` as in `TagList`.
    """
    text = read_text(
        path,
        name,
        MAX_CSV_BYTES,
        if_large="give some of the tags to a second device table",
        if_not_utf8="save it again as UTF-8; a spreadsheet calls it 'CSV UTF-8'",
    )
    if isinstance(text, Fault):
        return TagList(" ", faults=[text])
    return parse_csv(text, name, tag_class, patient=patient)


def parse_csv(
    text: str, name: str, tag_class: type[TagSettings], *, patient: bool = False
) -> TagList:
    """Parse the text of a tag list file; see `read_csv`."""
    out = TagList(" ", patient=patient)
    lines = _counted(text)
    place, header = next(lines, (1, ""))
    cells_of = partial(_cells, delimiter=_delimiter(header))
    columns = _columns(cells_of(header, f"{name}:{place}", out), f"{name}:{place}", tag_class, out)
    if out.faults:
        return out
    out.begun = True
    for number, line in lines:
        here = f"{name}:{number}"
        if out.is_full(here):
            break
        cells = cells_of(line, here, out)
        if any(cells):
            _read_row(cells, here, columns, tag_class, out)
    if not out.faults and not out.tags:
        out.faults.append(_no_tags(name, "add a line for each tag below the header"))
    return out


def read_cells(text: str, name: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Give the header, its names in lower case, and each row with its place. Raises ConfigError.

    For who has still to find out which device, and so which columns, the rows are of.
    """
    out = TagList(" ")
    lines = _counted(text)
    place, header = next(lines, (1, ""))
    cells_of = partial(_cells, delimiter=_delimiter(header))
    names = [cell.casefold() for cell in cells_of(header, f"{name}:{place}", out)]
    rows = []
    for number, line in lines:
        cells = cells_of(line, f"{name}:{number}", out)
        if any(cells):
            rows.append((f"{name}:{number}", cells))
        if out.is_full(f"{name}:{number}") or len(rows) > MAX_TAGS:
            break
    if out.faults:
        raise ConfigError(out.faults)
    return names, rows


def _no_tags(name: str, hint: str) -> Fault:
    return Fault(name, "has no tags", hint)


def _counted(text: str) -> Iterator[tuple[int, str]]:
    """Give the lines that count, with their numbers from 1."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _delimiter(header: str) -> str:
    if "," in header:
        return ","
    return ";" if ";" in header else "\t" if "\t" in header else ","


def _cells(line: str, place: str, out: TagList, *, delimiter: str) -> list[str]:
    """Cut one line; no cells, and a fault, if its quotes are wrong."""
    try:
        cells = next(csv.reader((line,), delimiter=delimiter, strict=True))
    except csv.Error as error:
        unclosed = "unexpected end" in str(error)
        reason = "a quoted cell is not closed" if unclosed else f"is not valid CSV: {error}"
        hint = "close every quote on its line, and write a quote within a cell twice"
        out.faults.append(Fault(place, reason, hint))
        return []
    return [cell.strip() for cell in cells]


def _columns(
    header: Sequence[str], place: str, tag_class: type[TagSettings], out: TagList
) -> list[str]:
    """Give the columns of the header, empty for one without a name; its faults go to `out`."""
    if out.faults:
        return []
    faults = out.faults
    known = tuple(tag_class.model_fields)
    columns = [cell.casefold() for cell in header]
    if not any(columns):
        columns_hint = f"begin it with a header line such as {','.join(known[:4])}"
        faults.append(_no_tags(place.rpartition(":")[0], columns_hint))
        return columns
    if not set(columns) & set(known):
        required = [name for name, f in tag_class.model_fields.items() if f.is_required()]
        hint = f"begin with {','.join(required)}"
        faults.append(Fault(place, "the first line names no columns", hint))
        return columns
    for number, column in enumerate(columns):
        if column and column not in known:
            faults.append(Fault(place, f"unknown column {shown(column)}", meant(column, known)))
        elif column and column in columns[:number]:
            hint = "keep one of them"
            faults.append(Fault(place, f"the column {shown(column)} is there twice", hint))
    missing = [k for k, f in tag_class.model_fields.items() if f.is_required() and k not in columns]
    faults.extend(
        Fault(place, f"the column {column!r} is missing", "add it to the header and to every row")
        for column in missing
    )
    return columns


def _read_row(
    cells: list[str], place: str, columns: list[str], tag_class: type[TagSettings], out: TagList
) -> None:
    values = {c: v for c, v in zip(columns, cells, strict=False) if v}
    if "" in values or any(cells[len(columns) :]):
        hint = "put a cell that holds the separator in quotes, or name the column"
        out.faults.append(Fault(place, "has more cells than the header has columns", hint))
        return

    out.take(values, place, tag_class)


def read_tables(
    rows: Sequence[Any], place: str, tag_class: type[TagSettings], *, patient: bool = False
) -> TagList:
    """Validate tag tables of the main file, in the list at `place` (`devices.press.tags`)."""
    out = TagList(".", begun=bool(rows), patient=patient)
    if not rows:
        out.faults.append(_no_tags(place, "name a CSV file, or add one table a tag"))
    for number, values in enumerate(rows):
        row = f"{place}[{number}]"
        if out.is_full(row):
            break
        if isinstance(values, dict):  # the device's settings class has a fault for anything else
            out.take(values, row, tag_class)
    return out
