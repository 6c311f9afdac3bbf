"""Records as groups of a spool: what a Parquet file is made of, and made again after a crash.

Owns the form of such a group: the record's own payload, and the schema that it needs where the
spool has not told it yet. Pure. Must not know files.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from forebay.columnar import decode_schema, encode_schema
from forebay.model import Position, Record, RecordKind, Stream
from forebay.readings import note, readings
from forebay.uplinks.file.lines import close_group
from forebay.uplinks.file.store import Row

if TYPE_CHECKING:
    from forebay.model import Schema


class Spooler:
    """Writes and reads the groups of one spool, in order; knows which schemas it has told."""

    def __init__(self) -> None:
        """Begin with a spool that is empty."""
        self._schemas: dict[int, Schema] = {}

    def group(self, row: Row) -> bytes:
        """Give the group of a record; its payload only if it gives rows."""
        record = row.record
        body: list[str] = []
        if row.found is not None and row.found.schema.id not in self._schemas:
            schema = row.found.schema
            self._schemas[schema.id] = schema
            body.append(json.dumps({"schema": _text(encode_schema(schema))}))
        if row.found is not None or row.note is not None:
            schema_id = row.found.schema.id if row.found else 0
            body.append(json.dumps({"payload": _text(record.payload), "schema_id": schema_id}))
        return close_group(
            body,
            row,
            {
                "times_ns": [record.time_min_ns, record.time_max_ns],
                "revision": record.revision,
                "samples": record.samples,
                "thinned": record.thinned,
            },
        )

    def row(self, group: bytes) -> Row:
        """Read a group of this spool."""
        said = [json.loads(line) for line in group.splitlines()]
        about, payload, schema_id = said[-1]["commit"], None, 0
        for line in said[:-1]:
            if "schema" in line:
                schema = decode_schema(base64.b64decode(line["schema"]))
                self._schemas[schema.id] = schema
            else:
                payload, schema_id = base64.b64decode(line["payload"]), line["schema_id"]
        record = Record(
            position=Position(Stream(about["stream"]), int(about["epoch"], 16), about["seq"]),
            kind=RecordKind[about["kind"].upper()],
            samples=about["samples"],
            time_min_ns=about["times_ns"][0],
            time_max_ns=about["times_ns"][1],
            revision=about["revision"],
            hash=b"",
            crc=0,
            payload=payload or b"",
            thinned=about["thinned"],
        )
        found = readings(record, self._schemas[schema_id]) if schema_id else None
        said_beside = None if payload is None else note(record)
        return Row(record, found, said_beside, about["historical"], about.get("refused", ""))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
