"""All values of tags in a time, piece by piece in the order of time: tables for CSV and Parquet.

Owns the pieces, which fit in memory, and the columns of the tables. Must not know who takes them.
Needs pyarrow.
"""

from __future__ import annotations

import base64
import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.errors import UsageError
from forebay_fleet.query import BAD, Clock, quality_name
from forebay_fleet.values.asking import open_history
from forebay_fleet.values.selecting import select
from forebay_fleet.values.series import Columns, chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.history import DetailRow
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.asking import Export
    from forebay_fleet.walking import GatewayHistory

MOST_TAGS = 1_000
PIECE_SAMPLES = 250_000
"""Of what is wanted, about."""
PIECE_SAMPLES_READ = 4_000_000
"""Of the batches in which that is."""
PIECE_BYTES = 16 << 20
"""Of these batches, as they are stored."""
MOST_TEXT_BYTES = 512 << 20
"""Of texts and blobs in one piece: batches of which more comes are refused."""
CLOCKS = (Clock.RIGHT.value, Clock.MENDED.value, Clock.UNSYNCED.value)
STAMP = pa.timestamp("ns", "UTC")
NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("time", STAMP),
        ("received", STAMP),
        ("tag", NAME),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("status", pa.uint32()),
        ("quality", NAME),
        ("clock", NAME),
    ]
)
"""`value` holds numbers, scaled, and booleans as 0 and 1. `text` holds texts, blobs as Base64, and
of 64-bit integers the raw digits, as `value` keeps 53 bits of them. Both are null where the quality
is bad. `clock`: see `query.Clock`."""


class _Wanted(NamedTuple):
    """Columns of one schema: which tag each of them is."""

    schema: SchemaView
    paths: dict[int, str]


def piece(store: StoreReader, export: Export, first_ns: int) -> tuple[pa.Table, int | None]:
    """Give a table from `first_ns` on, and where the next one begins; None behind the last.

    Sorted by time, then by tag. Each piece sees the store of its own moment.

    Raises:
        UsageError: no such gateway or tag, too many of them, or one piece takes too long.
        DecodingError: the store holds what cannot be read.
    """
    history = open_history(store, export.asked)
    wanted = _wanted(history, export.asked.tag)
    last_ns = _end(history, wanted, (first_ns, export.span_ns[1]))
    found = list(_found(history, wanted, (first_ns, last_ns)))
    whole = _sorted(found) if found else SCHEMA.empty_table()
    return whole, last_ns + 1 if last_ns < export.span_ns[1] else None


def _found(
    history: GatewayHistory, wanted: Mapping[int, _Wanted], span_ns: tuple[int, int]
) -> Iterator[tuple[str, int, Columns]]:
    """Walk samples with their paths and types."""
    room = MOST_TEXT_BYTES
    for one in wanted.values():
        for column, samples in chunks(history, one.schema, list(one.paths), span_ns):
            kind = one.schema.message.tags[column].type
            if kind in (pb.STRING, pb.BYTES):
                room -= sum(map(len, samples.raw))
                if room < 0:
                    raise UsageError(
                        f"texts or blobs of more than {MOST_TEXT_BYTES >> 20} MiB in one piece",
                        hint="ask for fewer tags",
                    )
            if len(samples.times_ns):
                yield one.paths[column], kind, samples


def _wanted(history: GatewayHistory, pattern: str) -> Mapping[int, _Wanted]:
    found: dict[int, _Wanted] = {}
    for one in select(history, pattern, MOST_TAGS):
        for schema, column in one.columns:
            found.setdefault(schema.message.id, _Wanted(schema, {})).paths[column] = one.path
    return found


def _end(history: GatewayHistory, wanted: Mapping[int, _Wanted], span_ns: tuple[int, int]) -> int:
    """Give how far a piece from the beginning of a span may go."""
    walks = [_sizes(history, one, span_ns) for one in wanted.values()]
    read = taken = size = 0
    for end_ns, row, mine in heapq.merge(*walks, key=lambda found: found[0]):
        read += row.samples
        taken += mine
        size += row.size
        if read > PIECE_SAMPLES_READ or taken > PIECE_SAMPLES or size > PIECE_BYTES:
            return min(end_ns, span_ns[1])
    return span_ns[1]


def _sizes(
    history: GatewayHistory, one: _Wanted, span_ns: tuple[int, int]
) -> Iterator[tuple[int, DetailRow, int]]:
    """Walk the ends of batches, with about how many samples of each are wanted."""
    tags = one.schema.tags
    for row in history.details(one.schema, span_ns):
        yield row.time_max_ns, row, row.samples * len(one.paths) // tags + 1


def _sorted(found: Sequence[tuple[str, int, Columns]]) -> pa.Table:
    """Give (path, type, samples) as one table, by time, then by path, then by receipt."""
    whole = pa.concat_tables([_table(samples, path, kind) for path, kind, samples in found])
    ranks = {path: rank for rank, path in enumerate(sorted({path for path, _, _ in found}))}
    rank = np.repeat([ranks[path] for path, _, _ in found], [len(s.times_ns) for *_, s in found])
    times = np.concatenate([samples.times_ns for *_, samples in found])
    received = np.concatenate([samples.received_ns for *_, samples in found])
    order = np.lexsort((received, rank, times))
    return whole.unify_dictionaries().take(pa.array(order))


def _table(found: Columns, path: str, kind: int) -> pa.Table:
    """Give samples of one tag."""
    count = len(found.times_ns)
    bad = (found.quality & np.uint32(BAD)) != 0
    codes, code_of = np.unique(found.quality, return_inverse=True)
    return pa.table(
        [
            pa.array(found.times_ns, STAMP),
            pa.array(found.received_ns, STAMP),
            _named([path], np.zeros(count, np.int32)),
            pa.array(found.numbers, pa.float64(), mask=bad | (kind in (pb.STRING, pb.BYTES))),
            _texts(found, kind, bad),
            pa.array(found.quality),
            _named([quality_name(code) for code in codes.tolist()], code_of),
            _named(CLOCKS, found.clock),
        ],
        schema=SCHEMA,
    )


def _named(names: Sequence[str], index: NDArray[Any]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(index.astype(np.int32), pa.array(names, pa.string()))


def _texts(found: Columns, kind: int, bad: NDArray[Any]) -> pa.Array:
    if kind in (pb.INT64, pb.UINT64):
        return pa.array(found.raw, mask=bad).cast(pa.string())
    if kind == pb.STRING:
        return pa.array(found.raw, pa.string(), mask=bad)
    if kind == pb.BYTES:
        coded = [base64.b64encode(blob).decode() for blob in found.raw]
        return pa.array(coded, pa.string(), mask=bad)
    return pa.nulls(len(bad), pa.string())
