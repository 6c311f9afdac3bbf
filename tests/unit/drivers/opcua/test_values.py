"""Which value may fill which column, under what time and with what quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forebay.clock import Stamp
from forebay.drivers.opcua.binary import ARRAY, BAD_DATE, BAD_STRING, NULL, STRING
from forebay.drivers.opcua.codec import Values
from forebay.drivers.opcua.values import BatchMaker, merged, refused
from forebay.model import Quality, Sample, Schema, Tag, ValueType

UNIX_TICKS = 116_444_736_000_000_000
NOW_NS = 1_800_000_000_000_000_000
NOW = Stamp(NOW_NS, 7)
INTEGERS = {2: "int8", 3: "uint8", 4: "int16", 5: "uint16", 6: "int32", 7: "uint32", 8: "int64"}
RANGES = {
    **{kind: np.iinfo(name) for kind, name in INTEGERS.items()},
    9: np.iinfo("uint64"),
}


def schema(*types: str) -> Schema:
    rows = (Tag(f"t{n}", f"i={n}", ValueType(kind)) for n, kind in enumerate(types))
    return Schema("press", "fast", tuple(rows))


def values(rows: list[tuple[int, int, Any]], **columns: list[int]) -> Values:
    """Give (handle, kind, value) rows; `statuses`, `source`, `server` default to zero."""
    zeros = [0] * len(rows)
    return Values(
        np.array([row[0] for row in rows], np.uint32),
        np.array([row[1] for row in rows], np.uint8),
        [row[2] for row in rows],
        np.array(columns.get("statuses", zeros), np.uint32),
        np.array(columns.get("source", zeros), np.int64),
        np.array(columns.get("server", zeros), np.int64),
    )


def samples(made: Schema, given: Values, timestamps: str = "source") -> list[Sample]:
    return list(BatchMaker(made, timestamps).sparse(given, NOW).iter_samples())


@pytest.mark.parametrize("value_type", [t for t in ValueType if t.dtype != object])
@pytest.mark.parametrize("kind", [*range(1, 12)])
def test_a_number_fits_where_every_value_of_its_type_does(kind: int, value_type: ValueType) -> None:
    extremes: list[Any] = [True]
    if kind in RANGES:
        extremes = [int(RANGES[kind].min), int(RANGES[kind].max)]
    elif kind > 9:
        extremes = [1.5 if kind == 10 else 1e300]
    for value in extremes:
        (sample,) = samples(schema(value_type), values([(0, kind, value)]))
        if sample.quality == 0:
            assert sample.value == value
            assert isinstance(sample.value, bool) == (value_type is ValueType.BOOL)
        else:
            assert (sample.quality, sample.value) == (Quality.BAD_TYPE_MISMATCH, None)
    exact = {1: np.dtype("?"), 10: np.dtype("f4"), 11: np.dtype("f8")}.get(kind)
    own: np.dtype[Any] = exact or np.dtype(INTEGERS.get(kind, "uint64"))
    fits = own == value_type.dtype or (
        kind != 1
        and value_type is not ValueType.BOOL
        and np.can_cast(own, value_type.dtype, "safe")
        and (value_type.value.startswith("float") or own.kind in {value_type.dtype.kind, "u"})
    )
    assert (sample.quality == 0) == (
        fits and not (kind in (8, 9) and value_type.value == "float64")
    )


@pytest.mark.parametrize(
    ("kind", "value", "quality"),
    [
        (NULL, None, Quality.BAD_WAITING_FOR_INITIAL_DATA),
        (STRING, "text", Quality.BAD_TYPE_MISMATCH),
        (13, 5, Quality.BAD_TYPE_MISMATCH),
        (BAD_DATE, None, Quality.BAD_OUT_OF_RANGE),
        (22, None, Quality.BAD_NOT_SUPPORTED),
        (ARRAY, None, Quality.BAD_NOT_SUPPORTED),
        (BAD_STRING, None, Quality.BAD_DECODING_ERROR),
    ],
)
def test_what_does_not_fit_says_why_and_spares_its_neighbours(
    kind: int, value: object, quality: int
) -> None:
    made = schema("float64", "float64", "float64")
    found = samples(made, values([(0, 11, 1.0), (1, kind, value), (2, 11, 2.0)]))
    assert [(s.tag.name, s.value, s.quality) for s in found] == [
        ("t0", 1.0, 0),
        ("t1", None, quality),
        ("t2", 2.0, 0),
    ]


@pytest.mark.parametrize("status", [0x40930000, 0x00000480, 0x40000480, 0x00960000])
def test_a_status_that_leaves_the_value_is_kept_to_the_bit(status: int) -> None:
    (sample,) = samples(schema("float64"), values([(0, 11, 3.5)], statuses=[status]))
    assert (sample.value, sample.quality) == (3.5, status)


def test_a_bad_status_goes_before_any_doubt_about_the_type() -> None:
    given = values([(0, NULL, None), (1, 11, 9.0)], statuses=[0x80340000, 0x808B0000])
    found = samples(schema("float64", "float64"), given)
    assert [(s.value, s.quality) for s in found] == [(None, 0x80340000), (None, 0x808B0000)]


def test_each_clock_falls_back_on_the_next() -> None:
    source, server = UNIX_TICKS + 20_000_001, UNIX_TICKS + 30_000_002
    beyond = UNIX_TICKS + 2**63 // 100 + 1
    given = values([(0, 11, 1.0)] * 4, source=[source, 0, 0, 5], server=[server, server, 0, beyond])
    made = schema("float64")
    by_source = [s.time_ns for s in samples(made, given)]
    assert by_source == [2_000_000_100, 3_000_000_200, NOW_NS, NOW_NS]
    by_server = [s.time_ns for s in samples(made, given, "server")]
    assert by_server == [3_000_000_200, 3_000_000_200, NOW_NS, NOW_NS]
    assert {s.time_ns for s in samples(made, given, "gateway")} == {NOW_NS}


def test_lanes_keep_the_order_of_rows() -> None:
    made = schema("float64", "string", "bool", "int32")
    rows = [(3, 6, 7), (0, 11, 1.0), (1, 12, "a"), (3, 6, 8), (2, 1, True), (1, 12, "b")]
    found = [(s.tag.name, s.value) for s in samples(made, values(rows))]
    assert found == [("t3", 7), ("t0", 1.0), ("t1", "a"), ("t3", 8), ("t2", True), ("t1", "b")]


def test_a_handle_that_nobody_gave_out_is_left_out() -> None:
    found = samples(schema("float64"), values([(7, 11, 1.0), (0, 11, 2.0)]))
    assert [s.value for s in found] == [2.0]


def test_a_string_that_no_column_may_hold_is_out_of_range() -> None:
    rows = [(0, 12, "x" * 65_535), (0, 12, "x" * 65_536), (0, 12, "\u20ac" * 30_000)]
    found = samples(schema("string"), values(rows))
    assert [s.quality for s in found] == [0, Quality.BAD_OUT_OF_RANGE, Quality.BAD_OUT_OF_RANGE]


def test_a_dense_row_has_every_column_once_in_order() -> None:
    made = schema("float64", "int32", "float64")
    parts = [values([(0, 11, 1.0), (2, 11, 3.0)]), refused([1], [0x80340000])]
    batch = BatchMaker(made, "gateway").dense(merged(parts), Stamp(5, 2), NOW)
    found = [(s.tag.name, s.value, s.quality, s.time_ns) for s in batch.iter_samples()]
    assert found == [("t0", 1.0, 0, 5), ("t1", None, 0x80340000, 5), ("t2", 3.0, 0, 5)]


def test_what_has_no_time_of_its_own_is_dated_when_the_read_began() -> None:
    given = values([(0, 11, 1.0), (1, 11, 2.0)], source=[0, UNIX_TICKS + 10])
    batch = BatchMaker(schema("float64", "float64"), "source").sparse(given, NOW, Stamp(5, 2))
    assert batch.times_ns.tolist() == [5, 1000]
    assert batch.received_ns.tolist() == [NOW_NS] * 2
    assert batch.boottime_ns is not None
    assert batch.boottime_ns.tolist() == [7, 7]


def test_arrays_of_one_type_stay_arrays_when_merged() -> None:
    def array(columns: list[int]) -> Values:
        base = values([(column, 11, 0.0) for column in columns])
        numbers = np.array(columns, np.float64)
        return Values(
            base.handles, base.kinds, numbers, base.statuses, base.source_ticks, base.server_ticks
        )

    whole = merged([array([0, 2]), array([1, 3])])
    assert isinstance(whole.values, np.ndarray)
    assert whole.handles.tolist() == whole.values.tolist() == [0, 1, 2, 3]
