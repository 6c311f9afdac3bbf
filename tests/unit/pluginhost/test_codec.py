"""Works and results on the wire: exact to the bit, and nothing believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from forebay._proto import plugin_pb2 as pb
from forebay.errors import PluginMisbehaved
from forebay.model import ValueType
from forebay.pluginhost.codec import decode_results, encode_work
from forebay.pluginhost.seams import Cut, Output, OutputKind, Range, Series, Window, Work
from support.fuzz import examples

ONE = bytes(4)
"""A row of the first window."""
OUTPUTS = (
    Output("score", OutputKind.TAG, ValueType.FLOAT64),
    Output("alarm", OutputKind.EVENT, ValueType.STRING),
    Output("picture", OutputKind.BLOB, ValueType.BYTES),
    Output("stop", OutputKind.WRITE, ValueType.BOOL),
    Output("count", OutputKind.TAG, ValueType.INT16),
)


def objects(*values: object) -> np.ndarray[Any, np.dtype[Any]]:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def test_a_work_is_laid_out_as_the_protocol_says() -> None:
    matrix = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    work = Work(
        axes=[np.array([1, 2, 3], np.int64), np.array([2], np.int64)],
        series=[
            Series(0, 0, matrix[:, 1], np.array([0, 0x80000000, 0], np.uint32)),
            Series(1, 0, np.array([True, False, True])),
            Series(2, 1, objects("ü")),
            Series(3, 1, objects(b"\xff\x00")),
            Series(4, 0, np.arange(3, dtype=np.dtype(">i2"))),
        ],
        windows=Cut.of([Window(7, 1, 4, (Range(0, 3), Range(0, 1)))]),
    )
    message = pb.Work.FromString(encode_work(work, 5).SerializeToString())
    assert message.id == 5
    assert [(a.rows, np.frombuffer(a.times, "<i8").tolist()) for a in message.axes] == [
        (3, [1, 2, 3]),
        (1, [2]),
    ]
    first, bools, texts, blobs, small = message.series
    assert np.frombuffer(first.values, "<f8").tolist() == [1.0, 3.0, 5.0]
    assert np.frombuffer(first.quality, "<u4").tolist() == [0, 0x80000000, 0]
    assert (bools.values, bools.quality) == (b"\x01\x00\x01", b"")
    assert (list(texts.texts), list(blobs.blobs)) == (["ü"], [b"\xff\x00"])
    assert np.frombuffer(small.values, "<i2").tolist() == [0, 1, 2]
    cut = message.windows
    bounds = [np.frombuffer(part, "<i8").tolist() for part in (cut.begin_ns, cut.end_ns)]
    assert (cut.first, bounds) == (7, [[1], [4]])
    assert np.frombuffer(cut.rows, "<u4").tolist() == [0, 3, 0, 1]


def results(*columns: pb.OutputColumn) -> pb.Results:
    return pb.Results(work_id=1, columns=columns)


def test_a_failure_cannot_rule_a_terminal() -> None:
    failure = pb.Failure(window=1, reason="\x1b[2Jno\nmodel\u202e")
    _, failures = decode_results(pb.Results(failures=[failure]), (), 2)
    assert failures == {1: " [2Jno model "}


def test_results_are_read_in_the_types_of_the_outputs() -> None:
    times = np.array([5, 6], "<i8").tobytes()
    columns, _ = decode_results(
        results(
            pb.OutputColumn(output=0, values=np.array([math.pi], "<f8").tobytes()),
            pb.OutputColumn(output=1, times=times, texts=["a", "b"], windows=bytes(8)),
            pb.OutputColumn(output=2, blobs=[b"x"]),
            pb.OutputColumn(output=3, values=b"\x02", quality=b"\0\0\0\x80"),
            pb.OutputColumn(
                output=4, times=times, values=np.array([-1, 2], "<i2").tobytes(), windows=bytes(8)
            ),
            pb.OutputColumn(output=99, values=b"?"),
            pb.OutputColumn(output=0),
        ),
        OUTPUTS,
        1,
    )
    score, alarm, picture, stop, count, unknown, none = columns
    assert score.values.tolist() == [math.pi]
    assert (alarm.values.tolist(), alarm.times_ns.tolist()) == (["a", "b"], [5, 6])  # type: ignore[union-attr]
    assert picture.values.tolist() == [b"x"]
    assert stop.values.tolist() == [True]
    assert stop.quality is not None
    assert stop.quality.tolist() == [0x80000000]
    assert count.values.tolist() == [-1, 2]
    assert (unknown.output, len(unknown.values), len(none.values)) == (99, 0, 0)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (pb.OutputColumn(output=0, values=b"1234567"), "7 bytes for score"),
        (pb.OutputColumn(output=0, values=bytes(16), windows=bytes(8)), "and no times"),
        (pb.OutputColumn(output=0, values=bytes(16), times=bytes(16)), "2 values for 3 windows"),
        (pb.OutputColumn(output=0, values=bytes(16), windows=ONE), "2 values of 1 windows"),
        (pb.OutputColumn(output=0, values=bytes(8), windows=b"\3\0\0\0"), "window 3, of 3"),
        (
            pb.OutputColumn(output=0, values=bytes(16), windows=b"\2\0\0\0\1\0\0\0"),
            "not in order",
        ),
        (
            pb.OutputColumn(output=0, values=bytes(8), times=bytes(16), windows=bytes(4)),
            "1 values at 2 times",
        ),
        (
            pb.OutputColumn(output=0, values=bytes(8), times=bytes(7), windows=bytes(4)),
            "7 bytes for times",
        ),
        (
            pb.OutputColumn(output=0, values=bytes(8), quality=bytes(8), windows=bytes(4)),
            "with 2 qualities",
        ),
        (
            pb.OutputColumn(output=0, values=bytes(8), quality=bytes(3), windows=bytes(4)),
            "3 bytes for quality",
        ),
        (pb.OutputColumn(output=0, texts=["1"]), "is of numbers"),
        (pb.OutputColumn(output=1, values=bytes(8)), "is of texts"),
        (pb.OutputColumn(output=2, texts=["1"]), "is of bytes"),
    ],
)
def test_a_column_that_does_not_fit_is_refused_by_name(column: pb.OutputColumn, what: str) -> None:
    with pytest.raises(PluginMisbehaved, match=what) as raised:
        decode_results(results(column), OUTPUTS, 3)
    assert raised.value.hint


@examples(300)
@given(st.binary(max_size=200), st.integers(0, 5), st.integers(1, 3))
def test_any_bytes_give_results_or_a_typed_error(data: bytes, output: int, windows: int) -> None:
    try:
        message = pb.Results.FromString(data)
    except DecodeError:
        message = results(
            pb.OutputColumn(output=output, values=data, times=data[::2], windows=data[::3])
        )
    try:
        columns, failures = decode_results(message, OUTPUTS, windows)
    except PluginMisbehaved:
        return
    assert all(0 <= place < windows for place in failures)
    for column in columns:
        assert column.times_ns is None or len(column.times_ns) == len(column.values)
        assert len(column.windows) == len(column.values)
        assert ((column.windows >= 0) & (column.windows < windows)).all()
