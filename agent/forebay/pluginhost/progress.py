"""How far a plugin is: one small file, and what stands in the journal behind it.

Owns that file, and the search for results behind it. Results and file are two writes of the disk:
a kill between them leaves results of windows that the file does not know. So the file says how long
the streams were when it was saved, and what is longer is searched for this plugin's results. Must
not know windows or processes.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forebay.columnar import decode_batch, peek_schema_id
from forebay.errors import JournalCorrupt
from forebay.model import Position, RecordKind, Stream, ValueType
from forebay.pluginhost.results import WINDOW
from forebay.pluginhost.rows import Key
from forebay.pluginhost.windows import Moment, Through

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from forebay.files import Disk
    from forebay.model import Record
    from forebay.pluginhost.views import JournalView

FILE_BYTES_MAX = 4 << 20
SEARCH_BYTES = 1 << 20
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a plugin is.

    It reads on behind `positions`, at `moment`, if windows are still cut as `cut` says. `ends` is
    how long each stream was when this was saved.
    """

    cut: Sequence[object] = ()
    moment: Moment = field(default_factory=lambda: Moment(Through(), {}))
    positions: Mapping[Stream, Position] = field(default_factory=dict)
    ends: Mapping[Stream, Position] = field(default_factory=dict)


def encode(progress: Progress) -> bytes:
    """Give the file."""
    through, passed, top_ns = progress.moment
    text = {
        "format": _FORMAT,
        "cut": list(progress.cut),
        "number": through.number,
        "row": through.row,
        "turn": through.turn,
        "passed": [[key.stream.value, *key[1:], reach] for key, reach in passed.items()],
        "top": top_ns,
        "positions": _positions_to_json(progress.positions),
        "ends": _positions_to_json(progress.ends),
    }
    return (json.dumps(text, indent=1) + "\n").encode()


def decode(data: bytes) -> Progress:
    """Read a file; ValueError if it is damaged or of another format."""
    try:
        text = json.loads(data)
        known = {_FORMAT: text}
        turn = known[text["format"]]["turn"]
        through = Through(
            _count(text["number"]), _whole(text["row"]), None if turn is None else _whole(turn)
        )
        passed = {
            Key(Stream(stream), str(source), str(group), str(tag)): _whole(reach)
            for stream, source, group, tag, reach in text["passed"]
        }
        return Progress(
            tuple(text["cut"]),
            Moment(through, passed, _whole(text["top"])),
            _positions_from_json(text["positions"]),
            _positions_from_json(text["ends"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"no whole file of a plugin's progress: {error!r}"
        raise ValueError(msg) from None


def load(path: Path, disk: Disk) -> Progress | None:
    """Read the file at `path`; None if there is none. Blocks. ValueError if it is damaged."""
    if not disk.exists(path):
        return None
    try:
        return decode(disk.read_bytes(path, FILE_BYTES_MAX))
    except OSError as error:
        raise ValueError(str(error)) from None


def save(path: Path, disk: Disk, progress: Progress) -> None:
    """Make the file durable. Blocks. OSError if the disk refuses."""
    disk.makedirs(path.parent)
    disk.write_atomic(path, encode(progress))


async def standing(
    journal: JournalView, source: str, ends: Mapping[Stream, Position], streams: Iterable[Stream]
) -> dict[Stream, int]:
    """Give, for each stream, the last window of `source` whose results stand behind `ends`.

    Nothing for a stream without any. JournalErrors.
    """
    found: dict[Stream, int] = {}
    for stream in streams:
        after, end = ends.get(stream, Position(stream, 0, 0)), journal.newest(stream)
        while after < end:
            records = await journal.read(after, SEARCH_BYTES)
            if not records:
                break
            after = records[-1].position
            number = await asyncio.to_thread(_last_window, journal, source, records)
            if number is not None:
                found[stream] = max(number, found.get(stream, number))
    return found


def _last_window(journal: JournalView, source: str, records: Sequence[Record]) -> int | None:
    """Give the greatest marker among `records`, None if there is none."""
    last: int | None = None
    for record in records:
        if record.kind is not RecordKind.BATCH:
            continue
        try:
            schema = journal.schema(peek_schema_id(record.payload))
            if schema.source != source or schema.tags[-1].name != WINDOW:
                continue
            batch = decode_batch(record.payload, schema)
        except (JournalCorrupt, KeyError):
            continue
        column = len(schema.tags) - 1
        (lane,) = [n for n, one in enumerate(schema.lanes) if one.type is ValueType.INT64]
        if batch.index is None:
            place = schema.lanes[lane].columns.tolist().index(column)
            numbers = batch.values[lane][:, place]
        else:
            of_lane = batch.index[schema.lane_of[batch.index] == lane]
            numbers = batch.values[lane][of_lane == column]
        if len(numbers):
            last = max(int(numbers.max()), -1 if last is None else last)
    return last


def _positions_to_json(positions: Mapping[Stream, Position]) -> dict[str, Any]:
    return {s.value: [f"{p.epoch:016x}", p.seq] for s, p in positions.items()}


def _positions_from_json(data: Mapping[str, Any]) -> dict[Stream, Position]:
    return {
        Stream(name): Position(Stream(name), int(epoch, 16), _count(seq))
        for name, (epoch, seq) in data.items()
    }


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _count(value: object) -> int:
    number = _whole(value)
    if number < 0:
        raise ValueError(number)
    return number
