"""Rows of a table as batches: columns found by their titles, cells by the tags' types.

Owns what a cell may be and what becomes of one that is not. Pure. Must not know files.
"""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.model import MAX_STRING_BYTES, Batch, Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.clock import Stamp
    from forebay.drivers.folder.config import FolderSettings
    from forebay.model import Schema

MAX_LINE_BYTES = 64 << 10
BAD_NO_DATA = 0x809B_0000
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 1e11
"""A number of that size is no count of seconds: it would be the year 5138."""
_MAX_SECONDS = 9e9


class Cell(NamedTuple):
    """A value, or none, and its quality."""

    value: Any
    quality: int


class Tables:
    """The groups of tags that the tables of one folder feed."""

    def __init__(self, schemas: Sequence[Schema], settings: FolderSettings) -> None:
        """Feed `schemas`, whose tags' addresses are titles."""
        self._schemas, self._settings = tuple(schemas), settings

    def head(self, line: str) -> dict[str, int]:
        """Give the place of each title of a table."""
        return {title.strip(): place for place, title in enumerate(self._cells(line))}

    def missing(self, head: dict[str, int]) -> list[str]:
        """Give the titles that are wanted, the time's included, and that the table has not."""
        wanted = {tag.address for schema in self._schemas for tag in schema.tags}
        wanted |= {self._settings.time_column} - {""}
        return sorted(wanted - head.keys())

    def batches(
        self, head: dict[str, int], lines: Iterable[str], mtime_ns: int, at: Stamp
    ) -> list[Batch]:
        """Give the rows as one dense batch a schema; those that have no cell are left out."""
        rows = [cells for line in lines if (cells := self._cells(line))]
        if not rows:
            return []
        place = head.get(self._settings.time_column)
        told = [None if place is None else _time_ns(_at(cells, place)) for cells in rows]
        times = np.array([mtime_ns if one is None else one for one in told], np.int64)
        unsure = np.array([place is not None and one is None for one in told])
        return [self._batch(schema, head, rows, times, unsure, at) for schema in self._schemas]

    def _batch(
        self,
        schema: Schema,
        head: dict[str, int],
        rows: list[list[str]],
        times: Any,  # noqa: ANN401 - int64 (rows)
        unsure: Any,  # noqa: ANN401 - bool (rows)
        at: Stamp,
    ) -> Batch:
        count = len(rows)
        values = [np.full((count, len(lane.columns)), lane.type.empty, lane.type.dtype)
                  for lane in schema.lanes]  # fmt: skip
        quality = np.zeros((count, len(schema.tags)), np.uint32)
        for number, lane in enumerate(schema.lanes):
            for member, column in enumerate(lane.columns.tolist()):
                place = head.get(schema.tags[column].address)
                for row, cells in enumerate(rows):
                    text = "" if place is None else _at(cells, place)
                    cell = self._cell(text, lane.type)
                    quality[row, column] = cell.quality
                    if cell.value is not None:
                        values[number][row, member] = cell.value
        uncertain = unsure[:, None] & (quality == 0)
        quality[uncertain] = Quality.UNCERTAIN
        received = np.full(count, at.wall_ns, np.int64)
        booted = np.full(count, at.boottime_ns, np.int64)
        kept = quality if quality.any() else None
        return Batch(schema, times, received, tuple(values), kept, boottime_ns=booted)

    def _cells(self, line: str) -> list[str]:
        if not line.strip():
            return []
        return next(csv.reader([line], delimiter=self._settings.separator), [])

    def _cell(self, text: str, kind: ValueType) -> Cell:
        if kind is ValueType.STRING:
            fits = len(text.encode()) <= MAX_STRING_BYTES
            return Cell(text, Quality.GOOD) if fits else Cell(None, Quality.BAD_OUT_OF_RANGE)
        text = text.strip()
        if not text:
            return Cell(None, BAD_NO_DATA)
        if kind is ValueType.BOOL:
            value = _BOOLS.get(text.casefold())
            return Cell(value, Quality.BAD_DECODING_ERROR if value is None else Quality.GOOD)
        return _number(text.replace(self._settings.decimal, "."), kind)


def _number(text: str, kind: ValueType) -> Cell:
    if "_" in text:  # Python's own way of writing numbers, and nobody else's
        return Cell(None, Quality.BAD_DECODING_ERROR)
    if kind.dtype.kind == "f":
        try:
            number = float(text)
        except ValueError:
            return Cell(None, Quality.BAD_DECODING_ERROR)
        fits = not math.isfinite(number) or abs(number) <= float(np.finfo(kind.dtype).max)
        return Cell(number, Quality.GOOD) if fits else Cell(None, Quality.BAD_OUT_OF_RANGE)
    try:
        whole = int(text)
    except ValueError:
        return Cell(None, Quality.BAD_DECODING_ERROR)
    limits = np.iinfo(kind.dtype)
    if not limits.min <= whole <= limits.max:
        return Cell(None, Quality.BAD_OUT_OF_RANGE)
    return Cell(whole, Quality.GOOD)


def _at(cells: list[str], place: int) -> str:
    return cells[place] if place < len(cells) else ""


def _time_ns(text: str) -> int | None:
    """Read a time as ns since 1970; None if it is none."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
        return round(seconds * 1e6) * 1000 if abs(seconds) <= _MAX_SECONDS else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    found_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    return found_ns if abs(found_ns) <= _MAX_SECONDS * 1e9 else None
