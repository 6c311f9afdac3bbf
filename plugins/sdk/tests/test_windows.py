"""Frames to messages to windows: every value arrives; windows are where they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay_plugin import BAD, Input, Output, Result, Table, wire
from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin.answers import Answers
from forebay_plugin.frames import Frame, columns_of, work, works
from forebay_plugin.manifest import Manifest, Role, Windows
from forebay_plugin.types import Kind, Type, as_column
from forebay_plugin.window import Window, grouped, stack

NS = 1_000_000_000


def manifest(windows: Windows, *tags: str, types: tuple[str, ...] = ("number",)) -> Manifest:
    roles = {"values": Role(tags or ("*/*",), types)}
    return Manifest(Path(), "test", "1", ["true"], roles, windows, [], batch=3)


def windows_of(held: Manifest, *frames: Frame) -> list[Window]:
    columns = columns_of(held, frames)
    inputs = [column.source for column in columns]
    found: list[Window] = []
    for message in works(held, frames, columns):
        sent = pb.Work.FromString(message.SerializeToString())
        found.extend(wire.to_windows(sent, inputs))
    return found


def at(*seconds: float) -> Any:
    return np.round(np.asarray(seconds) * NS).astype(np.int64)


@pytest.mark.parametrize("kind", list(Type), ids=lambda kind: kind.word)
def test_every_type_arrives_as_it_was(kind: Type) -> None:
    rng = np.random.default_rng(int(kind))
    if kind is Type.STRING:
        values: Any = [f"ä{row}" for row in range(9)]
    elif kind is Type.BYTES:
        values = [rng.bytes(row) for row in range(9)]
    elif kind is Type.BOOL:
        values = rng.integers(0, 2, 9).astype(bool)
    elif kind >= Type.FLOAT32:
        values = rng.normal(size=9).astype(kind.dtype)
    else:
        limits = np.iinfo(kind.dtype)
        values = np.array([limits.min, limits.max, *[1] * 7], kind.dtype)
    quality = np.where(np.arange(9) % 4 == 3, BAD, 0).astype(np.uint32)
    held = manifest(Windows(rows=9, stride=9), types=("number", "string", "bytes"))
    (window,) = windows_of(held, Frame(at(*range(9)), {"d/T": values}, {"d/T": quality}))
    series = window.series["d/T"]
    assert series.input == Input("values", "d/T", kind)
    assert list(series.quality) == list(quality)
    assert [value for value, good in zip(series.values, series.good, strict=True) if good] == [
        value for value, code in zip(values, quality, strict=True) if not code
    ]


def test_windows_of_rows_overlap_and_end_with_the_data() -> None:
    frame = Frame(at(*range(10)), {"d/A": np.arange(10.0), "d/B": np.arange(10.0) * 2})
    found = windows_of(manifest(Windows(rows=4, stride=3)), frame)
    assert [window.number for window in found] == [1, 2, 3]
    assert [list(window.matrix("values")[:, 0]) for window in found] == [
        [0, 1, 2, 3],
        [3, 4, 5, 6],
        [6, 7, 8, 9],
    ]
    assert stack(found, "values").shape == (3, 4, 2)
    assert found[0].end_ns == 3 * NS + 1
    assert found[0].last_ns == 3 * NS


def test_windows_of_time_end_at_multiples() -> None:
    frame = Frame(at(0.5, 1.5, 2.5, 6.1), {"d/A": np.arange(4.0)})
    found = windows_of(manifest(Windows(every_ns=2 * NS, length_ns=3 * NS)), frame)
    assert [(window.begin_ns / NS, window.end_ns / NS) for window in found] == [
        (-1, 2),
        (1, 4),
        (3, 6),
    ]
    assert [list(window.series["d/A"].values) for window in found] == [[0, 1], [1, 2], []]
    assert found[2].last_ns == found[2].end_ns


def test_tags_of_several_devices_hold_their_last_value() -> None:
    fast = Frame(at(0, 1, 2, 3), {"a/X": np.array([1.0, 2, 3, 4])})
    codes = {"b/Y": [0, BAD, 0]}
    slow = Frame(at(0.5, 1.5, 2.5), {"b/Y": np.array([10, 20, 30])}, codes)
    (window,) = windows_of(
        manifest(Windows(every_ns=4 * NS, length_ns=4 * NS)),
        fast,
        slow,
        Frame(at(5), {"c/Z": [1.0]}),
    )
    matrix = window.matrix("values")
    assert list(window.times / NS) == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert np.allclose(matrix[:, 0], [1, 1, 2, 2, 3, 3, 4])
    nan = np.nan
    assert np.allclose(matrix[:, 1], [nan, 10, 10, nan, nan, 30, 30], equal_nan=True)
    assert np.isnan(matrix[:, 2]).all()


def test_inputs_have_the_order_of_the_patterns() -> None:
    frame = Frame(at(0), {"d/A": [1.0], "d/B": [2.0], "d/C": [3.0]})
    columns = columns_of(manifest(Windows(), "d/C", "d/*"), [frame])
    assert [column.source.tag for column in columns] == ["d/C", "d/A", "d/B"]


def test_arrays_are_views_that_nobody_can_change() -> None:
    (window,) = windows_of(
        manifest(Windows(rows=2, stride=2)), Frame(at(0, 1), {"d/A": [1.0, 2.0]})
    )
    for array in (window.matrix("values"), window.series["d/A"].values, window.times):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda work: work.axes[0].MergeFrom(pb.Axis(rows=7)),
        lambda work: work.series[0].MergeFrom(pb.Series(input=5)),
        lambda work: work.series[0].MergeFrom(pb.Series(axis=5)),
        lambda work: work.series[0].MergeFrom(pb.Series(values=b"\0" * 3)),
        lambda work: work.series[0].MergeFrom(pb.Series(quality=b"\0" * 3)),
        lambda work: setattr(work.windows, "rows", bytes(16)),
        lambda work: setattr(work.windows, "rows", b"\1\0\0\0\2\0\0\0"),
        lambda work: setattr(work.windows, "end_ns", bytes(16)),
    ],
    ids=["times", "input", "axis", "values", "quality", "windows", "rows", "ends"],
)
def test_what_does_not_fit_is_refused_before_it_is_used(spoil: Any) -> None:
    frames = [Frame(at(0, 1), {"d/A": [1.0, 2.0]})]
    columns = columns_of(manifest(Windows()), frames)
    message = work(1, 0, [(0, 2 * NS, [(0, 2)])], frames, columns)
    assert wire.to_windows(message, [columns[0].source])
    spoil(message)
    with pytest.raises(wire.ProtocolError):
        wire.to_windows(message, [columns[0].source])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.UINT8, 256),
        (Type.UINT8, -1),
        (Type.INT32, 0.5),
        (Type.INT64, float("nan")),
        (Type.BOOL, 2),
        (Type.FLOAT64, "1"),
        (Type.STRING, b"x"),
        (Type.BYTES, "x"),
    ],
)
def test_a_value_that_its_type_cannot_hold_is_refused(kind: Type, value: Any) -> None:
    with pytest.raises(ValueError, match=r"hold|wanted"):
        as_column([value], kind)


def test_results_become_columns() -> None:
    outputs = [Output("x", Kind.TAG, Type.INT16), Output("t", Kind.EVENT, Type.STRING)]
    (window,) = windows_of(manifest(Windows()), Frame(at(3), {"d/A": [1.0]}))
    given = [
        Result("x", values=[1, 2, 3], times_ns=[5, 6, 7], quality=[0, BAD, 0]),
        Result("t", "news", quality=0x4000_0000),
    ]
    answers = Answers([window], outputs)
    answers.add(0, given)
    message = answers.message(1, 1 << 20)
    assert np.frombuffer(message.columns[0].values, "<i2").tolist() == [1, 0, 3]
    assert np.frombuffer(message.columns[0].times, "<i8").tolist() == [5, 6, 7]
    assert np.frombuffer(message.columns[0].windows, "<u4").tolist() == [0, 0, 0]
    assert message.columns[1].texts == ["news"]
    assert not message.columns[1].times
    for wrong in (
        [Result("x")],
        [Result("x", 1, values=[1])],
        [Result("x", values=[1, 2])],
        [Result("x", values=[1, 2], times_ns=[1])],
        [Result("x", values=[1, 2], times_ns=[1, 2], quality=[0])],
    ):
        with pytest.raises(ValueError, match="x: "):
            Answers([window], outputs).add(0, wrong)


def test_results_of_all_windows_lie_in_one_column() -> None:
    outputs = [Output("x", Kind.TAG, Type.FLOAT32), Output("t", Kind.EVENT, Type.STRING)]
    found = windows_of(manifest(Windows()), Frame(at(3, 4, 5), {"d/A": [1.0, 2.0, 3.0]}))
    answers = Answers(found, outputs)
    answers.add(0, {"x": 0.5})
    answers.add(1, [Result("t", "a"), Result("x", 1.5, quality=BAD), Result("t", "b")])
    with pytest.raises(ValueError, match="no output 'y'"):
        answers.add(2, {"x": 2.5, "y": 1.0})
    answers.fail(2, "no y")
    message = answers.message(1, 1 << 20)
    x, t = message.columns
    assert np.frombuffer(x.values, "<f4").tolist() == [0.5, 0.0], "all of a window, or nothing"
    assert np.frombuffer(x.windows, "<u4").tolist() == [0, 1]
    assert np.frombuffer(x.quality, "<u4").tolist() == [0, BAD]
    assert not x.times
    assert list(t.texts) == ["a", "b"]
    assert np.frombuffer(t.times, "<i8").tolist() == [4 * NS, 4 * NS], "two of one window"
    assert [(one.window, one.reason) for one in message.failures] == [(2, "no y")]


def test_what_is_too_large_costs_the_largest_windows_only() -> None:
    outputs = [Output("p", Kind.BLOB, Type.BYTES), Output("x", Kind.TAG, Type.FLOAT64)]
    found = windows_of(manifest(Windows()), Frame(at(3, 4, 5), {"d/A": [1.0, 2.0, 3.0]}))
    answers = Answers(found, outputs)
    for place, size in enumerate((10, 3000, 500)):
        answers.add(place, [Result("p", bytes(size)), Result("x", float(place))])
    message = answers.message(1, 1000)
    assert message.ByteSize() <= 1000
    assert [(one.window, "over the limit" in one.reason) for one in message.failures] == [(1, True)]
    assert np.frombuffer(message.columns[1].values, "<f8").tolist() == [0.0, 2.0]


def test_a_table_is_what_its_rows_are_one_by_one() -> None:
    outputs = [
        Output("x", Kind.TAG, Type.FLOAT64),
        Output("n", Kind.TAG, Type.INT16),
        Output("t", Kind.EVENT, Type.STRING),
    ]
    found = windows_of(manifest(Windows()), Frame(at(3, 4, 5), {"d/A": [1.0, 2.0, 3.0]}))
    columns = {"x": np.array([0.25, 0.5]), "n": np.array([7, 8])}
    quality = np.array([0, BAD], np.uint32)
    also = {2: [Result("t", "last"), Result("x", 3.0)]}
    table = Table(3, columns, places=np.array([0, 2]), quality=quality, also=also)
    whole, single = Answers(found, outputs), Answers(found, outputs)
    whole.add_table(table)
    for place, results in enumerate(table):
        single.add(place, results)
    assert whole.message(1, 1 << 20) == single.message(1, 1 << 20)
    for wrong in (
        {"columns": {"x": np.zeros(2)}},
        {"columns": {"x": np.zeros(2)}, "places": np.array([1, 1])},
        {"columns": {"x": np.zeros(2)}, "places": np.array([1, 3])},
    ):
        with pytest.raises(ValueError, match=r"x: |places"):
            Table(3, **wrong)
    with pytest.raises(ValueError, match="hold"):
        whole.add_table(Table(3, {"n": np.array([1.0, 0.5, 2.0])}))


def test_windows_of_the_same_length_are_grouped() -> None:
    first = Frame(at(*range(12)), {"d/A": np.arange(12.0), "d/B": -np.arange(12.0)})
    other = Frame(at(*range(12)), {"e/A": np.arange(12.0)})
    for cut in (Windows(rows=4, stride=4), Windows(rows=4, stride=2), Windows(rows=1, stride=1)):
        for frames in ([first], [first, other]):
            columns = columns_of(manifest(cut), frames)
            for message in works(manifest(cut), frames, columns):
                held = wire.to_windows(message, [column.source for column in columns])
                ((places, stacked),) = grouped(held, "values")
                assert places.tolist() == list(range(len(held)))
                assert np.array_equal(stacked, stack(held, "values"))
    cut = Windows(every_ns=2 * NS, length_ns=3 * NS)
    frame = Frame(at(0.5, 1.5, 2.5, 6.1), {"d/A": np.arange(4.0)})
    columns = columns_of(manifest(cut), [frame])
    held = wire.to_windows(works(manifest(cut), [frame], columns)[0], [columns[0].source])
    assert [(p.tolist(), s[:, :, 0].tolist()) for p, s in grouped(held, "values")] == [
        ([0, 1], [[0, 1], [1, 2]])
    ]
