"""What the file uplink leaves, read by other means than those that wrote it; and a disk that balks.

Lines are read by `json`, Parquet by pyarrow's own reader of whole files.
"""

from __future__ import annotations

import base64
import errno
import io
import json
import os
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from forebay.columnar import decode_schema
from forebay.files import SystemDisk
from forebay.model import Position, Stream
from forebay.testing.records import make_record
from support.batches import plain, rows_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from forebay.files import SystemFile
    from forebay.model import Schema


class BalkingFile:
    """A file of the machine whose writes `BalkingDisk` counts."""

    def __init__(self, file: SystemFile, disk: BalkingDisk) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        self._disk.need_power()
        return getattr(self._file, name)

    def pwrite(self, data: Sequence[bytes | memoryview], offset: int) -> int:
        """Write, unless there is no room for more records."""
        self._disk.need_power()
        if self._file.path.suffix == ".part" and self._disk.room is not None:
            if self._disk.room == 0:
                self._file.pwrite([b"".join(data)[:10]], offset)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._disk.room -= 1
        return self._file.pwrite(data, offset)

    def close(self) -> None:
        """Close: that always works."""
        self._file.close()


class BalkingDisk(SystemDisk):
    """The machine's disk, until it is taken away or full."""

    def __init__(self) -> None:
        self.gone = False
        self.room: int | None = None
        """How many writes to files in the making fit still; None: all."""
        self.free: int | None = None

    def need_power(self) -> None:
        """Raise EIO while the disk is gone."""
        if self.gone:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def open(
        self, path: Path, *, create: bool = False, write: bool = False, private: bool = False
    ) -> Any:
        self.need_power()
        return BalkingFile(super().open(path, create=create, write=write, private=private), self)

    def listdir(self, path: Path) -> list[str]:
        self.need_power()
        return super().listdir(path)

    def exists(self, path: Path) -> bool:
        self.need_power()
        return super().exists(path)

    def makedirs(self, path: Path) -> None:
        self.need_power()
        super().makedirs(path)

    def free_bytes(self, path: Path) -> int:
        if self.free is None:
            return super().free_bytes(path)
        self.free -= 1
        return max(self.free, 0) << 40


def entries(directory: Path, *, parts: bool = False) -> list[tuple[Position, dict[str, Any]]]:
    """Give every record in the files: its position and what is told of it, in the files' order.

    `rows` are its samples as [tag, value, code, time, received]; `parts` counts what is still being
    written.
    """
    contents = {path.name: path.read_bytes() for path in directory.iterdir()}
    return entries_of(contents, parts=parts)


def entries_of(
    contents: Mapping[str, bytes], *, parts: bool = False
) -> list[tuple[Position, dict[str, Any]]]:
    """Give what `entries` gives, of files by their names."""
    found: list[tuple[Position, dict[str, Any]]] = []
    for name, data in sorted(contents.items()):
        if name.endswith(".parquet"):
            found += _parquet(data)
        elif parts and name.endswith((".spool", ".spool.part")):
            found += _spool(data.decode())
        elif name.endswith(".jsonl") or (parts and name.endswith(".jsonl.part")):
            found += _jsonl(data.decode())
    return found


def stored(directory: Path, *, parts: bool = True) -> dict[Position, bytes]:
    """Give what is stored of each record, in the order of the files."""
    return {at: shown(told["rows"]) for at, told in entries(directory, parts=parts)}


def _jsonl(text: str) -> Iterator[tuple[Position, dict[str, Any]]]:
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0]["forebay"]["version"] == 1
    rows: list[list[Any]] = []
    told: dict[str, Any] = {}
    for line in lines[1:]:
        if "commit" in line:
            commit = line["commit"]
            assert commit["samples"] == len(rows)
            at = Position(Stream(commit["stream"]), int(commit["epoch"], 16), commit["seq"])
            yield at, {"rows": rows, "historical": commit["historical"], **commit, **told}
            rows, told = [], {}
        elif "note" in line:
            told["note"] = line["note"]
        else:
            times = (nanoseconds(line["time"]), nanoseconds(line["received"]))
            rows.append([line["tag"], line["value"], line["code"], *times])
    assert not rows, "samples without a commit line"


def _spool(text: str) -> Iterator[tuple[Position, dict[str, Any]]]:
    schemas: dict[int, Schema] = {}
    body: list[dict[str, Any]] = []
    for line in map(json.loads, text.splitlines()[1:]):
        if "commit" not in line:
            body.append(line)
            continue
        rows: list[list[Any]] = []
        for said in body:
            if "schema" in said:
                schema = decode_schema(base64.b64decode(said["schema"]))
                schemas[schema.id] = schema
            elif said["schema_id"]:
                record = make_record(1, base64.b64decode(said["payload"]))
                rows = rows_of(record, schemas[said["schema_id"]])
        commit, body = line["commit"], []
        at = Position(Stream(commit["stream"]), int(commit["epoch"], 16), commit["seq"])
        yield at, {"rows": rows, "historical": commit["historical"]}


def _parquet(data: bytes) -> Iterator[tuple[Position, dict[str, Any]]]:
    table = pq.read_table(io.BytesIO(data))
    columns = {name: table.column(name).to_pylist() for name in table.column_names if name not in
               ("time", "received")}  # fmt: skip
    for name in ("time", "received"):
        columns[name] = table.column(name).cast("int64").to_pylist()
    told: dict[Position, dict[str, Any]] = defaultdict(lambda: {"rows": []})
    for n in range(table.num_rows):
        row = {name: values[n] for name, values in columns.items()}
        at = Position(Stream(row["stream"]), int(row["epoch"], 16), row["seq"])
        about = told[at]
        about["historical"] = row["historical"]
        if row["kind"] != "sample":
            about["note"] = {"kind": row["kind"], **json.loads(row["note"])}
            continue
        assert row["row"] == len(about["rows"])
        about["rows"].append([row["tag"], _value(row), row["code"], row["time"], row["received"]])
    yield from told.items()


def _value(row: dict[str, Any]) -> Any:
    """Give the one value of a row's five cells, the most exact one."""
    for name in ("value_text", "value_int", "value_uint"):
        if row[name] is not None:
            return row[name]
    if row["value_bytes"] is not None:
        return plain(row["value_bytes"])
    return row["value"] != 0 if row["type"] == "bool" and row["value"] is not None else row["value"]


def nanoseconds(text: str) -> int:
    """Read ISO 8601 with nine decimals and a Z."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 10**9 + int(rest)
