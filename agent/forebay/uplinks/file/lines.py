"""Records as lines of JSON, in groups that prove themselves: pure text, no files.

Owns the form of a line, and what makes a group whole. Must not know where it is written.

A group is what one record gives: a line for each sample, a line for what else it says, and a
`commit` line that names the record and holds the length and CRC32C of the group. Whatever a power
cut leaves of a group that was not flushed does not fit its commit line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import google_crc32c

from forebay.model import Position, Stream, quality_name
from forebay.readings import instants, json_text, json_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from forebay.model import Schema
    from forebay.readings import Readings
    from forebay.uplinks.file.store import Row

COMMIT = b'{"commit":'
_CRC = b',"crc":"'
_CRC_TAIL_BYTES = len(_CRC) + len('01234567"}}')
_BOOLS = ("false", "true")


class Commit(NamedTuple):
    """What a commit line says, and where its group ends: behind the line's newline.

    With the record at `position` all from `first_seq` on is settled.
    """

    position: Position
    first_seq: int
    end: int


def group(row: Row) -> bytes:
    """Give the group of a record: its samples, its note, its commit line."""
    found = row.found
    lines = [] if found is None else _samples(found, historical=row.historical)
    if row.note is not None:
        lines.append(json_text({"note": row.note}))
    return close_group(lines, row, {"samples": 0 if found is None else len(found.columns)})


def close_group(lines: Sequence[str], row: Row, more: Mapping[str, Any]) -> bytes:
    """Give `lines` and the commit line that makes them the group of a record.

    It says what every commit line says, and `more`.
    """
    body = "".join(f"{line}\n" for line in lines).encode()
    stream, epoch, seq = row.record.position
    about: dict[str, Any] = {
        "stream": stream.value,
        "epoch": f"{epoch:016x}",
        "seq": seq,
        "kind": row.record.kind.name.lower(),
        **more,
        "historical": row.historical,
    }
    if row.absent_from:
        about["absent_from"] = row.absent_from
    if row.refused:
        about["refused"] = row.refused
    about["bytes"] = len(body)
    line = json_text({"commit": about}).encode().removesuffix(b"}}")
    crc = google_crc32c.extend(google_crc32c.value(body), line)
    return body + line + _CRC + f'{crc:08x}"}}}}\n'.encode()


def scan(data: bytes, start: int) -> Iterator[Commit]:
    """Walk the whole groups of `data` from `start`; the first that is not whole ends it."""
    while True:
        at = start
        if not data.startswith(COMMIT, start):
            at = data.find(b"\n" + COMMIT, start) + 1
            if not at:
                return
        end = data.find(b"\n", at) + 1
        commit = _commit(data, start, at, end) if end else None
        if commit is None:
            return
        yield commit
        start = end


def _commit(data: bytes, start: int, at: int, end: int) -> Commit | None:
    """Read the commit line at `data[at:end]` of the group that begins at `start`."""
    tail = end - 1 - _CRC_TAIL_BYTES
    if tail < at or data[tail : tail + len(_CRC)] != _CRC:
        return None
    crc = google_crc32c.value(data[start:tail])
    if data[tail + len(_CRC) : end - 1] != f'{crc:08x}"}}}}'.encode():
        return None
    about = json.loads(data[at : end - 1])["commit"]
    if about["bytes"] != at - start:
        return None
    position = Position(Stream(about["stream"]), int(about["epoch"], 16), about["seq"])
    return Commit(position, about.get("absent_from", position.seq), end)


def _samples(found: Readings, *, historical: bool) -> list[str]:
    """Give a line for each sample, in order."""
    heads = _heads(found.schema)
    times, received = instants(found.times_ns), instants(found.received_ns)
    tail = f'","historical":{_BOOLS[historical]}}}'
    qualities: dict[int, str] = {}
    for code in set(found.quality.tolist()):
        name = quality_name(code)
        qualities[code] = f',"quality":"{name}","code":{code},"received":"'
    return [
        f'{{"time":"{times[scan]}{heads[column]}{text}{qualities[code]}{received[scan]}{tail}'
        for scan, column, text, code in zip(
            found.scans.tolist(),
            found.columns.tolist(),
            json_values(found),
            found.quality.tolist(),
            strict=True,
        )
    ]


def _heads(schema: Schema) -> list[str]:
    """Give what stands between time and value in a line of each column."""
    begin = f'","device":{json_text(schema.source)},"group":{json_text(schema.group)}'
    return [
        f'{begin},"tag":{json_text(tag.name)},"unit":{json_text(tag.unit)},"value":'
        for tag in schema.tags
    ]
