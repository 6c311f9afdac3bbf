"""How an export is written: JSON Lines, CSV, Parquet.

Owns the columns of each format (docs/reference/cli.md) and their spelling. Times are UTC with all
nine digits, values keep their types. Must not know where items come from.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from forebay.errors import RequestInvalid
from forebay.journal.export import Absence
from forebay.model import ValueType, quality_name
from forebay.readings import base64_text, instants

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.journal.export import Block, Item, Value
    from forebay.model import Schema

CSV_COLUMNS = (
    "kind", "stream", "epoch", "seq", "revision", "device", "group", "tag", "unit", "type", "time",
    "received", "value", "quality", "code", "cause", "time_to", "samples", "seq_from", "seq_to",
)  # fmt: skip
ROW_GROUP = 1 << 16
"""Rows that a Parquet file keeps together."""


class Writer(Protocol):
    """Writes items to one file."""

    def write(self, item: Item) -> None:
        """Write one item."""
        ...

    def close(self) -> None:
        """Write what is left; the file itself stays open."""
        ...


def iso(time_ns: int) -> str | None:
    """Give a wall time as ISO 8601 in UTC, to the nanosecond; None for 0, which is unknown."""
    return instants(np.array([time_ns]))[0] if time_ns else None


class JsonLines:
    """One JSON object a line: `{"kind": "sample", ...}` or `{"kind": "gap", ...}`."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to `out`."""
        self._out = out
        self._heads: dict[tuple[int, int], str] = {}

    def write(self, item: Item) -> None:
        """See `Writer.write`."""
        if isinstance(item, Absence):
            line = json.dumps({"kind": "gap", **_absence(item)}, ensure_ascii=False)
            self._out.write(f"{line}\n".encode())
            return
        place = json.dumps(_place(item))[1:-1]
        schema = item.found.schema
        lines = [
            f'{self._head(schema, row.column)}, {place}, "time": "{row.time}", '
            f'"received": "{row.received}", "value": {_json(row.value)}, '
            f'"quality": "{quality_name(row.code)}", "code": {row.code}}}\n'
            for row in item.rows()
        ]
        self._out.write("".join(lines).encode())

    def close(self) -> None:
        """See `Writer.close`."""

    def _head(self, schema: Schema, column: int) -> str:
        """Give the part of a line that is the same for all samples of a tag."""
        head = self._heads.get((schema.id, column))
        if head is None:
            tag = schema.tags[column]
            said = {
                "kind": "sample",
                "device": schema.source,
                "group": schema.group,
                "tag": tag.name,
                "unit": tag.unit,
            }
            head = self._heads[schema.id, column] = json.dumps(said, ensure_ascii=False)[:-1]
        return head


class Csv:
    """One table for samples and gaps; what a row has not is empty."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to `out`, the header first."""
        self._text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(CSV_COLUMNS)

    def write(self, item: Item) -> None:
        """See `Writer.write`."""
        if isinstance(item, Absence):
            said: dict[str, Any] = {"kind": "gap", **_absence(item)}
            said["time"] = said.pop("time_from")
            self._rows.writerow(["" if (v := said.get(c)) is None else v for c in CSV_COLUMNS])
            return
        schema, place = item.found.schema, tuple(_place(item).values())
        tags = [
            (schema.source, schema.group, tag.name, tag.unit, tag.type.value) for tag in schema.tags
        ]
        nothing = [""] * (len(CSV_COLUMNS) - CSV_COLUMNS.index("cause"))
        self._rows.writerows(
            [
                *("sample", *place, *tags[row.column], row.time, row.received),
                *(_csv(row.value), quality_name(row.code), row.code, *nothing),
            ]
            for row in item.rows()
        )

    def close(self) -> None:
        """See `Writer.close`."""
        self._text.detach()


def _place(item: Block) -> dict[str, Any]:
    stream, epoch, seq = item.position
    return {
        "stream": stream.value,
        "epoch": f"{epoch:016x}",
        "seq": seq,
        "revision": item.revision,
    }


def _absence(item: Absence) -> dict[str, Any]:
    stream, epoch, seq = item.position
    return {
        "stream": stream.value,
        "epoch": f"{item.epoch or epoch:016x}",
        "seq": seq,
        "device": item.source,
        "cause": item.cause,
        "time_from": iso(item.time_from_ns),
        "time_to": iso(item.time_to_ns),
        "samples": item.samples,
        "seq_from": item.seq_from,
        "seq_to": item.seq_to,
    }


def _json(value: Value | None) -> str:
    """Give a value as JSON.

    What JSON has no number for is no value, with its name beside it; bytes are Base64.
    """
    if isinstance(value, bytes):
        return f'"{base64_text(value)}", "encoding": "base64"'
    if isinstance(value, float) and not math.isfinite(value):
        return f'null, "float": "{_not_a_number(value)}"'
    return json.dumps(value, ensure_ascii=False)


def _not_a_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _csv(value: Value | None) -> str:
    if isinstance(value, bytes):
        return base64_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _not_a_number(value)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


class Parquet:
    """One table as `Csv`, with a column for each type of value. Needs pyarrow."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to `out`. RequestInvalid if pyarrow is not installed."""
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise RequestInvalid(
                "Parquet needs pyarrow, which is not installed",
                hint="install the extra: pip install 'forebay[parquet]'",
            ) from None
        self._pa = pa
        time, word = pa.timestamp("ns", "UTC"), pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema(
            [
                *((name, word) for name in ("kind", "stream", "epoch")),
                ("seq", pa.uint64()),
                ("revision", pa.uint16()),
                *((name, word) for name in ("device", "group", "tag", "unit", "type")),
                ("time", time),
                ("received", time),
                ("value", pa.float64()),
                ("value_int", pa.int64()),
                ("value_uint", pa.uint64()),
                ("value_text", pa.string()),
                ("value_bytes", pa.binary()),
                ("quality", word),
                ("code", pa.uint32()),
                ("cause", word),
                ("time_to", time),
                *((name, pa.uint64()) for name in ("samples", "seq_from", "seq_to")),
            ]
        )
        self._rows: dict[str, list[Any]] = {name: [] for name in self._schema.names}
        self._file: Any = parquet.ParquetWriter(out, self._schema, compression="zstd")

    def write(self, item: Item) -> None:
        """See `Writer.write`."""
        if isinstance(item, Absence):
            row: dict[str, Any] = {"kind": "gap", **_absence(item)}
            row["time"], row["time_to"] = item.time_from_ns or None, item.time_to_ns or None
            self._add(lambda name: [row.get(name)])
        else:
            columns, empty = _columns(item), [None] * len(item.kept)
            self._add(lambda name: columns.get(name, empty))

    def close(self) -> None:
        """See `Writer.close`."""
        self._flush()
        self._file.close()

    def _add(self, values: Callable[[str], list[Any]]) -> None:
        for name, rows in self._rows.items():
            rows.extend(values(name))
        if len(self._rows["kind"]) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows["kind"]:
            self._file.write_table(self._pa.table(self._rows, schema=self._schema))
            for rows in self._rows.values():
                rows.clear()


def _columns(item: Block) -> dict[str, list[Any]]:
    """Give each column of the samples.

    Every number stands in `value`; whole numbers that are not scaled stand exactly in `value_int`
    or, if their type is uint64, in `value_uint` as well.
    """
    found, kept = item.found, item.kept
    schema, count = found.schema, len(kept)
    tags = [schema.tags[column] for column in found.columns[kept].tolist()]
    codes = found.quality[kept].tolist()
    values = found.values()
    chosen = [values[at] for at in kept.tolist()]
    typed = [
        ("value_uint" if tag.type is ValueType.UINT64 else "value_int", value)
        if isinstance(value, int) and not isinstance(value, bool)
        else ("", value)
        for tag, value in zip(tags, chosen, strict=True)
    ]
    return {
        "kind": ["sample"] * count,
        **{name: [value] * count for name, value in _place(item).items()},
        "device": [schema.source] * count,
        "group": [schema.group] * count,
        "tag": [tag.name for tag in tags],
        "unit": [tag.unit for tag in tags],
        "type": [tag.type.value for tag in tags],
        "time": found.times_ns[found.scans[kept]].tolist(),
        "received": found.received_ns[found.scans[kept]].tolist(),
        "value": [float(v) if isinstance(v, (int, float)) else None for v in chosen],
        "value_int": [value if kind == "value_int" else None for kind, value in typed],
        "value_uint": [value if kind == "value_uint" else None for kind, value in typed],
        "value_text": [value if isinstance(value, str) else None for value in chosen],
        "value_bytes": [value if isinstance(value, bytes) else None for value in chosen],
        "quality": [quality_name(code) for code in codes],
        "code": codes,
    }


WRITERS: dict[str, Callable[[BinaryIO], Writer]] = {
    "jsonl": JsonLines,
    "csv": Csv,
    "parquet": Parquet,
}
