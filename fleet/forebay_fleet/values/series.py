"""Values of tags as columns: scaled, with quality and both times.

Owns how batches become columns that people can use. Must not know what is made of them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.mending import mended
from forebay_fleet.query import BAD
from forebay_fleet.values.stacking import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.values.stacking import Piece
    from forebay_fleet.walking import GatewayHistory

_Row: TypeAlias = tuple[int, int, int, bytes]
"""Line, seq, samples, payload."""

RIGHT, MENDED, UNSYNCED = range(3)
"""What is known of the clock that stamped a value; see `query.Clock`."""
TAKEN = 64
MOST_RECORDS = 8192
MOST_BYTES = 8 << 20
MOST_SAMPLES = 1_000_000
"""Of batches that are read at once; looked at after TAKEN of them."""


class Columns(NamedTuple):
    """Samples of one tag, each of shape (samples,).

    `raw` is as the device gave it; `numbers` are float64, scaled, NaN where there is no number.
    """

    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    raw: NDArray[Any]
    numbers: NDArray[np.float64]
    quality: NDArray[np.uint32]
    clock: NDArray[np.uint8]


def chunks(
    history: GatewayHistory,
    schema: SchemaView,
    wanted: Sequence[int],
    span_ns: tuple[int, int],
) -> Iterator[tuple[int, Columns]]:
    """Walk (column, samples) of columns of a schema whose source times lie in `span_ns`.

    Both ends are inclusive. In no order: later batches come before earlier ones.

    Raises:
        DecodingError: the store holds a batch that cannot be read.
    """
    for records in _together(history.payloads(schema, span_ns)):
        history.patience()
        for column, piece in read([payload for *_, payload in records], schema, wanted):
            yield column, _columns(history, records, schema.message.tags[column], piece, span_ns)


def _together(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Cut a walk into pieces that fit in memory."""
    some: list[_Row] = []
    size = samples = 0
    while piece := list(islice(rows, TAKEN)):
        some += piece
        size += sum([len(row[3]) for row in piece])
        samples += sum([row[2] for row in piece])
        if len(some) >= MOST_RECORDS or size > MOST_BYTES or samples > MOST_SAMPLES:
            yield some
            some, size, samples = [], 0, 0
    if some:
        yield some


def _columns(
    history: GatewayHistory,
    records: Sequence[_Row],
    tag: pb.Tag,
    piece: Piece,
    span_ns: tuple[int, int],
) -> Columns:
    times, received = piece.times_ns, piece.received_ns
    clock = np.zeros(len(times), np.uint8)
    if history.clocks.any:
        clock, times, received = _mended(history, records, piece)
    keep = (times >= span_ns[0]) & (times <= span_ns[1])
    raw, quality = piece.values, piece.quality
    if not keep.all():
        times, received, clock = times[keep], received[keep], clock[keep]
        raw, quality = raw[keep], quality[keep]
    return Columns(times, received, raw, _numbers(raw, quality, tag), quality, clock)


def _mended(
    history: GatewayHistory, records: Sequence[_Row], piece: Piece
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Give what is known of the clock of each sample, and its times made right."""
    found = [history.clocks.at(line, seq) for line, seq, *_ in records]
    known = [s is not None and s.correction_ns is not None for s in found]
    right = history.raw_times
    of_record = [
        RIGHT if s is None else MENDED if k and not right else UNSYNCED
        for s, k in zip(found, known, strict=True)
    ]
    by_ns = [0 if s is None or right else s.correction_ns or 0 for s in found]
    corrections = np.array(by_ns, np.int64)[piece.record]
    times, received = mended(piece.times_ns, piece.received_ns, corrections)
    return np.array(of_record, np.uint8)[piece.record], times, received


def _numbers(raw: NDArray[Any], quality: NDArray[np.uint32], tag: pb.Tag) -> NDArray[np.float64]:
    if tag.type in (pb.STRING, pb.BYTES):
        return np.full(len(raw), np.nan)
    numbers = raw.astype(np.float64)
    if tag.scale != 1.0 or tag.offset != 0.0:
        numbers = numbers * tag.scale + tag.offset
    numbers[(quality & np.uint32(BAD)) != 0] = np.nan
    return numbers
