"""Tables of history for training: CSV with a line of names, its first column the time.

Owns reading them. The serving plugin does not read any.
"""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay_twin.models import Numbers


@dataclass(frozen=True)
class Table:
    """(rows) times in s, and (rows, names) values, NaN where a cell is empty or no number."""

    names: Sequence[str]
    times_s: Numbers
    values: Numbers

    def columns(self, names: Sequence[str]) -> Numbers:
        """(rows, names) of these. Raises ValueError where there is none of a name."""
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(f"there is no column {unknown[0]}; there are {', '.join(self.names)}")
        return self.values[:, [self.names.index(name) for name in names]]


def read(path: Path) -> Table:
    """Read a table, plain or gzipped, with `,` or `;` between cells; times ISO 8601 or seconds.

    Raises:
        ValueError: a time is none, or there are no rows.
    """
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    head = text.split("\n", 1)[0]
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in head else ","))
    body = [row for row in rows[1:] if len(row) == len(rows[0])]
    if not body or len(rows[0]) < 2:
        raise ValueError(f"{path.name} has no rows of a time and numbers")
    times = np.array([_time_s(row[0]) for row in body])
    values = np.array([[_number(cell) for cell in row[1:]] for row in body])
    order = np.argsort(times, kind="stable")
    return Table(rows[0][1:], times[order], values[order])


def _time_s(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")
