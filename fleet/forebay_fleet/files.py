"""Files that a gateway took from a folder, put together again from their pieces.

Owns that: a piece may come twice, in any order, and may be missing; a file is whole when its digest
says so. Must not know how pieces are shown (`cli`).
"""

from __future__ import annotations

import hashlib
import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay_fleet.decode import decode_batch
from forebay_fleet.query import BAD, TagHistory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.history import RecordRow
    from forebay_fleet.store.reader import StoreReader

MAX_FILE_BYTES = 1 << 40
_COLUMNS = ("file", "id", "sha256", "offset", "total", "data")
_EVER = (-(1 << 62), 1 << 62)
_ID = re.compile(r"[0-9a-f]{32}")
_UNSAFE = re.compile(r"[^\w.-]+")
_READ_BYTES = 1 << 20


class State(StrEnum):
    """What came of a file. DAMAGED: all pieces are here, and their digest is not the file's."""

    WHOLE = "whole"
    MISSING = "missing pieces"
    DAMAGED = "damaged"


class Piece(NamedTuple):
    """One piece as it was stored."""

    file: str
    id: str
    sha256: str
    offset: int
    total: int
    data: bytes


class Found(NamedTuple):
    """One file: how many of its bytes are here, and where it lies if it is whole."""

    file: str
    id: str
    total: int
    there: int
    state: State
    path: Path | None


def pieces(reader: StoreReader, gateway: str, device: str) -> Iterator[Piece]:
    """Walk the pieces of all files of a device, in no promised order.

    Raises:
        UsageError: no such gateway, or the device gave no files.
        DecodingError: the store holds a batch that cannot be read.
    """
    history = TagHistory(reader, gateway, f"{device}/data", raw_times=True)
    for schema, _ in history.columns:
        place = {tag.name: column for column, tag in enumerate(schema.message.tags)}
        if all(name in place for name in _COLUMNS):
            for record in history.batches(schema, _EVER):
                yield from _of_record(record, schema, place)


def _of_record(record: RecordRow, schema: SchemaView, place: dict[str, int]) -> Iterator[Piece]:
    view = decode_batch(record.payload, schema)
    series = [view.series(place[name]) for name in _COLUMNS]
    good = [not any(code & BAD for code in codes) for codes in
            zip(*(one.quality.tolist() for one in series), strict=True)]  # fmt: skip
    rows: Iterator[tuple[Any, ...]] = zip(*(one.values.tolist() for one in series), strict=True)
    for row, usable in zip(rows, good, strict=True):
        piece = Piece(*row)
        fits = piece.offset + len(piece.data) <= piece.total <= MAX_FILE_BYTES
        if usable and fits and _ID.fullmatch(piece.id):
            yield piece


def assemble(found: Iterator[Piece], into: Path) -> list[Found]:
    """Write files into a directory, which is made; those that are not whole stay `ID.part`.

    A whole one is `ID-NAME`, with its name's odd characters as `_`. OSError if the disk refuses.
    """
    into.mkdir(parents=True, exist_ok=True)
    heads: dict[str, Piece] = {}
    spans: dict[str, list[tuple[int, int]]] = {}
    for piece in found:
        heads.setdefault(piece.id, piece._replace(data=b""))
        part = os.open(into / f"{piece.id}.part", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.pwrite(part, piece.data, piece.offset)
        finally:
            os.close(part)
        spans.setdefault(piece.id, []).append((piece.offset, piece.offset + len(piece.data)))
    told = [_end(head, _covered(spans[head.id]), into) for head in heads.values()]
    return sorted(told, key=lambda one: (one.file, one.id))


def _covered(spans: list[tuple[int, int]]) -> int:
    """Count the bytes of all spans, once each."""
    there = reached = 0
    for begin, end in sorted(spans):
        there += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return there


def _end(head: Piece, there: int, into: Path) -> Found:
    part = into / f"{head.id}.part"
    if there < head.total:
        return Found(head.file, head.id, head.total, there, State.MISSING, None)
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    if digest.hexdigest() != head.sha256:
        return Found(head.file, head.id, head.total, there, State.DAMAGED, None)
    path = into / f"{head.id}-{_UNSAFE.sub('_', head.file)[:120]}"
    part.replace(path)
    return Found(head.file, head.id, head.total, there, State.WHOLE, path)
