"""Tables of values as files: CSV (RFC 4180) and Parquet.

Owns the two forms. Must not know where values are. Needs pyarrow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pyarrow.csv
import pyarrow.parquet

from forebay_fleet.errors import UsageError
from forebay_fleet.values.exporting import SCHEMA, piece

if TYPE_CHECKING:
    from io import RawIOBase
    from pathlib import Path
    from typing import BinaryIO

    import pyarrow as pa

    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.asking import Export

FORMS = ("csv", "parquet")


class Writer(Protocol):
    """Takes tables of `SCHEMA`, one behind the other."""

    def write_table(self, table: pa.Table) -> None:
        """Add a table."""

    def close(self) -> None:
        """Write the end."""


def writer_of(sink: BinaryIO | RawIOBase, form: str) -> Writer:
    """Give what writes to `sink` in one of FORMS."""
    if form == "csv":
        lines: Writer = pyarrow.csv.CSVWriter(sink, SCHEMA)
        return lines
    writer: Writer = pyarrow.parquet.ParquetWriter(sink, SCHEMA, compression="zstd")
    return writer


def write_file(store: StoreReader, export: Export, path: Path) -> int:
    """Write all values to a file, which is there when it is whole; give how many there are.

    Raises:
        UsageError: a name without `.csv` or `.parquet`, or what `piece` refuses.
        DecodingError: the store holds what cannot be read.
        OSError: the file cannot be written.
    """
    form = path.suffix.removeprefix(".")
    if form not in FORMS:
        raise UsageError(f"{path.name!r} is no .csv or .parquet", hint="the name says the form")
    making = path.with_name(f".{path.name}.part")
    rows = 0
    try:
        with making.open("wb") as file:
            writer = writer_of(file, form)
            following: int | None = export.span_ns[0]
            while following is not None:
                table, following = piece(store, export, following)
                rows += len(table)
                if len(table):
                    writer.write_table(table)
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)
    return rows
