"""Turns decoded values into batches: types checked, times chosen, qualities kept.

Owns which OPC UA type may fill which column, which clock dates a value, and what quality says so
when it does not fit. Pure. Must not know bytes, connections or asyncua.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.drivers.opcua.binary import (
    BAD_DATE,
    BAD_STRING,
    DATE_TIME,
    GUID,
    LOCALIZED_TEXT,
    NULL,
    STATUS_CODE,
    STRING,
    UNIX_TICKS,
)
from forebay.drivers.opcua.codec import Values
from forebay.drivers.opcua.parts import Parts
from forebay.model import BAD_SEVERITY, MAX_STRING_BYTES, Batch, Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from forebay.clock import Stamp
    from forebay.drivers.opcua.address import NodeAddress
    from forebay.drivers.opcua.structures import Structure
    from forebay.model import Schema

_LAST_TICKS = UNIX_TICKS + (2**63 - 1) // 100
_TYPES = tuple(ValueType)
_WIDENS = {
    ValueType.BOOL: (1,),
    ValueType.INT8: (2,),
    ValueType.UINT8: (3,),
    ValueType.INT16: (2, 3, 4),
    ValueType.UINT16: (3, 5),
    ValueType.INT32: (2, 3, 4, 5, 6),
    ValueType.UINT32: (3, 5, 7, STATUS_CODE),
    ValueType.INT64: (2, 3, 4, 5, 6, 7, 8, DATE_TIME, STATUS_CODE),
    ValueType.UINT64: (3, 5, 7, 9, STATUS_CODE),
    ValueType.FLOAT32: (2, 3, 4, 5, 10),
    ValueType.FLOAT64: (2, 3, 4, 5, 6, 7, 10, 11),
    ValueType.STRING: (STRING, GUID, LOCALIZED_TEXT),
}
"""The built-in types (Part 6, table 1) whose every value a column holds without loss."""


def _accepted() -> NDArray[np.bool_]:
    """Whether a kind fits a type, shape (256, types); nothing fits a type of other protocols."""
    table = np.zeros((256, len(_TYPES)), np.bool_)
    for number, value_type in enumerate(_TYPES):
        table[list(_WIDENS.get(value_type, ())), number] = True
    return table


def _misfit() -> NDArray[np.uint32]:
    """The quality of a kind that does not fit, shape (256,)."""
    table = np.full(256, Quality.BAD_NOT_SUPPORTED, np.uint32)
    table[1 : GUID + 1] = Quality.BAD_TYPE_MISMATCH
    table[[STATUS_CODE, LOCALIZED_TEXT]] = Quality.BAD_TYPE_MISMATCH
    table[NULL] = Quality.BAD_WAITING_FOR_INITIAL_DATA
    table[BAD_STRING] = Quality.BAD_DECODING_ERROR
    table[BAD_DATE] = Quality.BAD_OUT_OF_RANGE
    return table


_ACCEPTED = _accepted()
_MISFIT = _misfit()


class BatchMaker:
    """Makes the batches of one schema."""

    def __init__(
        self,
        schema: Schema,
        timestamps: str,
        structures: Mapping[NodeAddress, Structure] | None = None,
    ) -> None:
        """Date values by `timestamps`: source, server or gateway, each falling back on the next.

        `structures` has the layout of structures whose fields are wanted, by their nodes.
        """
        self.schema, self._parts = schema, Parts(schema, structures)
        self._use_source = timestamps == "source"
        self._use_server = timestamps != "gateway"
        numbers = {value_type: number for number, value_type in enumerate(_TYPES)}
        self._types = np.array([numbers[tag.type] for tag in schema.tags], np.intp)

    def sparse(self, values: Values, received: Stamp, fallback: Stamp | None = None) -> Batch:
        """Give one sample a value; `values.handles` are columns, and one that is none is left out.

        A value whose parts are wanted gives one sample a part. `fallback` dates what has no time of
        its own, by default `received`.
        """
        known = values.handles < len(self.schema.tags)
        if not known.all():
            values = taken_rows(values, np.flatnonzero(known))
        return self._samples(self._parts.spread(values), received, fallback)

    def _samples(self, values: Values, received: Stamp, fallback: Stamp | None) -> Batch:
        columns = values.handles.astype(np.intp)
        quality, usable = self._judge(values, columns)
        batch_values = tuple(
            _lane(
                values.values,
                np.flatnonzero(self.schema.lane_of[columns] == number),
                usable,
                lane.type,
            )
            for number, lane in enumerate(self.schema.lanes)
        )
        self._cap_strings(batch_values, columns, quality)
        return Batch(
            self.schema,
            self._times(values, (received if fallback is None else fallback).wall_ns),
            np.full(len(columns), received.wall_ns, np.int64),
            batch_values,
            quality if quality.any() else None,
            columns.astype(np.uint32),
            np.full(len(columns), received.boottime_ns, np.int64),
        )

    def dense(self, values: Values, began: Stamp, received: Stamp) -> Batch:
        """Give one row at the time `began`; `values` hold each column that asks once."""
        sparse = self._samples(merged([self._parts.spread(values)]), received, None)
        return Batch(
            self.schema,
            np.array([began.wall_ns], np.int64),
            np.array([received.wall_ns], np.int64),
            tuple(lane.reshape(1, -1) for lane in sparse.values),
            None if sparse.quality is None else sparse.quality.reshape(1, -1),
            boottime_ns=np.array([received.boottime_ns], np.int64),
        )

    def _judge(
        self, values: Values, columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Give each value's quality, the server's own where it fits, and whether it can be used."""
        fits = _ACCEPTED[values.kinds, self._types[columns]]
        good_enough = values.statuses & BAD_SEVERITY == 0
        quality = np.where(good_enough & ~fits, _MISFIT[values.kinds], values.statuses)
        return quality.astype(np.uint32), fits & good_enough

    def _times(self, values: Values, fallback_ns: int) -> NDArray[np.int64]:
        times = np.full(len(values.handles), fallback_ns, np.int64)
        if self._use_server:
            _date(times, values.server_ticks)
        if self._use_source:
            _date(times, values.source_ticks)
        return times

    def _cap_strings(
        self, lanes: Sequence[NDArray[Any]], columns: NDArray[np.intp], quality: NDArray[np.uint32]
    ) -> None:
        """Take out strings that no column may hold."""
        for number, lane in enumerate(self.schema.lanes):
            if lane.type is not ValueType.STRING:
                continue
            rows = np.flatnonzero(self.schema.lane_of[columns] == number)
            for place, text in enumerate(lanes[number]):
                if len(text) > MAX_STRING_BYTES or len(text.encode()) > MAX_STRING_BYTES:
                    lanes[number][place] = ""
                    quality[rows[place]] = Quality.BAD_OUT_OF_RANGE


def refused(columns: Sequence[int], statuses: Sequence[int]) -> Values:
    """Give values that are not there, one a column, with the statuses that say why."""
    count = len(columns)
    return Values(
        np.array(columns, np.uint32),
        np.zeros(count, np.uint8),
        [None] * count,
        np.array(statuses, np.uint32),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )


def with_columns(values: Values, columns: NDArray[np.uint32]) -> Values:
    """Give `values` with `columns` as handles, shape (n,)."""
    return Values(
        columns,
        values.kinds,
        values.values,
        values.statuses,
        values.source_ticks,
        values.server_ticks,
    )


def merged(parts: Sequence[Values]) -> Values:
    """Give all values of `parts` in the order of their handles."""
    if len(parts) == 1:
        whole = parts[0]
    else:
        whole = Values(
            np.concatenate([p.handles for p in parts]),
            np.concatenate([p.kinds for p in parts]),
            _joined([p.values for p in parts]),
            np.concatenate([p.statuses for p in parts]),
            np.concatenate([p.source_ticks for p in parts]),
            np.concatenate([p.server_ticks for p in parts]),
        )
    if (whole.handles[1:] > whole.handles[:-1]).all():
        return whole
    return taken_rows(whole, np.argsort(whole.handles, kind="stable"))


def _joined(parts: Sequence[NDArray[Any] | list[Any]]) -> NDArray[Any] | list[Any]:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts) and len({array.dtype for array in arrays}) == 1:
        return np.concatenate(arrays)
    return [value for part in parts for value in part]


def taken_rows(values: Values, rows: NDArray[np.intp]) -> Values:
    """Give the values at `rows`, shape (m,), in that order."""
    picked = values.values
    return Values(
        values.handles[rows],
        values.kinds[rows],
        picked[rows] if isinstance(picked, np.ndarray) else [picked[row] for row in rows.tolist()],
        values.statuses[rows],
        values.source_ticks[rows],
        values.server_ticks[rows],
    )


def _lane(
    values: NDArray[Any] | list[Any],
    rows: NDArray[np.intp],
    usable: NDArray[np.bool_],
    value_type: ValueType,
) -> NDArray[Any]:
    """Give the values of `rows`, zero or empty where they cannot be used."""
    empty: Any = "" if value_type is ValueType.STRING else 0
    if isinstance(values, np.ndarray):
        if value_type is ValueType.STRING:
            return np.full(len(rows), "", object)
        return np.where(usable[rows], values[rows], values.dtype.type(0)).astype(value_type.dtype)
    out = np.full(len(rows), empty, value_type.dtype)
    for place, row in enumerate(rows.tolist()):
        if usable[row]:
            out[place] = values[row]
    return out


def _date(times: NDArray[np.int64], ticks: NDArray[np.int64]) -> None:
    """Overwrite `times` (ns) wherever `ticks` are a time from 1970 to 2262."""
    valid = (ticks > UNIX_TICKS) & (ticks < _LAST_TICKS)
    times[valid] = (ticks[valid] - UNIX_TICKS) * 100
