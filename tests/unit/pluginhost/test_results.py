"""Nothing that a plugin says is believed, and nothing is refused in silence."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay.drivers.opcua.eventfields import event_schema
from forebay.model import MAX_BLOB_BYTES, MAX_STRING_BYTES, GapCause, Quality, Schema, ValueType
from forebay.pluginhost.giving import FRESH_S, write_id
from forebay.pluginhost.results import BESIDE_NS, WINDOW, results_schemas
from forebay.pluginhost.seams import OutputColumn, Results
from support.plugin_feed import S, instance, pump, verdict_of, world
from support.plugin_feed import column as column_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.interfaces import Value
    from forebay.pluginhost.seams import Window

OUTPUTS: dict[str, Any] = {
    "score": {"min": 0.0, "max": 1.0},
    "count": {"type": "int64"},
    "text": {"type": "string"},
    "alarm": {"kind": "event"},
    "picture": {"kind": "blob"},
    "stop": {"kind": "write", "type": "bool", "tag": "press/Stop"},
}
SCORE, COUNT, TEXT, ALARM, PICTURE, STOP = range(6)


def column(output: int, *values: object, at: Iterable[int] | None = None,
           quality: Iterable[int] | None = None, kind: Any = None) -> OutputColumn:  # fmt: skip
    array = np.empty(len(values), object)
    array[:] = values
    if not isinstance(values[0], str | bytes):
        array = np.array(values, kind)
    return column_of(
        output,
        array,
        None if at is None else np.array(list(at), np.int64),
        None if quality is None else np.array(list(quality), np.uint32),
    )


async def outcome(
    *columns: OutputColumn, outputs: dict[str, Any] | None = None, **more: Any
) -> tuple[Any, list[tuple[Any, ...]]]:
    """Give the verdict on these columns, and what of them stands in the journal."""
    async with world() as here:
        feed = here.feed(instance(outputs=outputs or OUTPUTS, **more))
        await here.accept([pump(5)])
        verdict = await verdict_of(feed, lambda _: columns)
        found = await here.results()
        found += [one[:3] for one in await here.results(group="events")]
        return verdict, found + await here.results(group="blobs")


async def test_results_stand_in_the_journal_at_the_last_moment_of_data() -> None:
    verdict, found = await outcome(
        column(SCORE, 0.5), column(COUNT, 2**62), column(TEXT, "ü"), column(PICTURE, b"\xff\x00")
    )
    assert (verdict.samples, verdict.refused) == (4, {})
    assert found == [
        ("score", 5, 0.5, 0),
        ("count", 5, 2**62, 0),
        ("text", 5, "ü", 0),
        ("picture", 5, b"\xff\x00", 0),
    ]


@pytest.mark.parametrize(
    ("given", "reason", "stands"),
    [
        (column(SCORE, math.nan), "not finite", [("score", 5, None, Quality.BAD)]),
        (column(SCORE, -math.inf), "not finite", [("score", 5, None, Quality.BAD)]),
        (column(SCORE, 1.5), "out of range", [("score", 5, None, Quality.BAD_OUT_OF_RANGE)]),
        (column(SCORE, -0.1), "out of range", [("score", 5, None, Quality.BAD_OUT_OF_RANGE)]),
        (column(TEXT, "x" * (MAX_STRING_BYTES + 1)), "too long", []),
        (column(TEXT, "ü" * (MAX_STRING_BYTES // 2 + 1)), "too long", []),
        (column(PICTURE, bytes(MAX_BLOB_BYTES + 1)), "too long", []),
        (column(SCORE, 0.1, at=[0]), "time outside of its window", []),
        (column(SCORE, 0.1, at=[1 << 62]), "time outside of its window", []),
        (column_of(17, np.empty(0)), "unknown output", []),
    ],
)
async def test_what_may_not_stand_is_counted_by_its_reason(
    given: OutputColumn, reason: str, stands: list[Any]
) -> None:
    verdict, found = await outcome(given)
    assert verdict.refused == {reason: 1}
    assert found == stands


async def test_only_what_is_wrong_of_a_column_is_refused() -> None:
    async with world() as here:
        feed = here.feed(instance(outputs=OUTPUTS))
        await here.accept([pump(5)])

        def some(window: Window) -> list[OutputColumn]:
            at = [window.begin_ns, window.begin_ns + 1, window.end_ns + 2 * BESIDE_NS]
            return [column(SCORE, 0.1, math.nan, 0.3, at=at, quality=[0, 0, 0])]

        verdict = await verdict_of(feed, some)
        assert verdict.refused == {"time outside of its window": 1, "not finite": 1}
        assert [(value, q) for _, _, value, q in await here.results()] == [
            (0.1, 0),
            (None, Quality.BAD),
        ]


async def test_a_bad_quality_takes_the_value_along() -> None:
    _, found = await outcome(
        column(SCORE, 0.5, quality=[Quality.BAD_DEVICE_FAILURE]),
        column(COUNT, 7, quality=[Quality.UNCERTAIN]),
    )
    assert found == [
        ("score", 5, None, Quality.BAD_DEVICE_FAILURE),
        ("count", 5, 7, Quality.UNCERTAIN),
    ]


async def test_a_flood_is_refused_beyond_a_full_quota_and_the_rest_waits() -> None:
    many = [column(COUNT, *range(100), at=[pump(5).times_ns[0]] * 100, kind=np.int64)] * 3
    verdict, found = await outcome(*many, limits={"samples_per_s": 20.0})
    assert verdict.refused == {"quota": 100}
    assert (verdict.samples, len(found)) == (200, 200)
    big = [column(PICTURE, bytes(8_000))] * 3
    verdict, found = await outcome(*big, limits={"bytes_per_s": 1024})
    assert verdict.refused == {"quota": 2}
    assert len(found) == 1


async def test_what_is_refused_takes_from_the_quota_too() -> None:
    limits = {"samples_per_s": 1000.0}
    many = column(COUNT, *range(10_000), at=[0] * 10_000, kind=np.int64)
    async with world() as here:
        feed = here.feed(instance(outputs=OUTPUTS, limits=limits))
        await here.accept([pump(5)])
        verdict = await verdict_of(feed, lambda _: [many])
        assert verdict.refused == {"time outside of its window": 10_000}
        began_s = time.monotonic()
        await here.accept([pump(6)])
        few = column(COUNT, *range(1000), at=[0] * 1000, kind=np.int64)
        await verdict_of(feed, lambda _: [few])
        assert time.monotonic() - began_s > 0.5, "the bucket fills at 1000 a second"


async def test_a_window_that_failed_leaves_a_gap() -> None:
    async with world() as here:
        feed = here.feed(instance())
        await here.accept(pump(n) for n in range(4))
        await here.pipeline.settled()
        failed = 0
        while failed < 4:
            work = await feed.next()
            results = Results((), dict.fromkeys(range(len(work.windows)), "division by zero"))
            verdict = await feed.done(work, results)
            assert (verdict.failed, verdict.failure) == (len(work.windows), "division by zero")
            failed += verdict.failed
        gaps = [gap for gap in await here.gaps() if gap.cause is GapCause.NOT_COMPUTED]
        assert gaps
        assert min(g.time_from_ns for g in gaps) == pump(0).times_ns[0]
        assert max(g.time_to_ns for g in gaps) == pump(3).times_ns[0] + 1
        assert await here.results() == []


async def test_an_event_has_the_columns_of_a_devices_events() -> None:
    shapes = results_schemas("score", instance(outputs=OUTPUTS).outputs)
    assert shapes.events is not None
    of_device = {tag.name: tag.type for tag in event_schema("d").tags}
    mine = {tag.name: tag.type for tag in shapes.events.tags if tag.name != WINDOW}
    assert mine.items() <= of_device.items()
    told = {"message": "hot", "severity": 5000, "condition": "Hot", "active": True, "acked": 3}
    texts = ["plain", json.dumps(told), '{"message": 3}', "{", json.dumps({"source": "x"})]
    at = [int(pump(5).times_ns[0]) + n for n in range(5)]
    _, found = await outcome(column(ALARM, *texts, at=at))
    rows = [{name: value for name, _, value in found[n : n + 8]} for n in range(0, len(found), 8)]
    assert rows[0] == {
        "id": "score-0-alarm-0", "type": "alarm", "source": "score", "message": "plain",
        "severity": 500, "condition": None, "active": None, "acked": None,
    }  # fmt: skip
    assert rows[1] == {
        "id": "score-0-alarm-1", "type": "alarm", "source": "score", "message": "hot",
        "severity": 1000, "condition": "Hot", "active": True, "acked": None,
    }  # fmt: skip
    assert [row["message"] for row in rows[2:]] == texts[2:]


async def test_an_event_of_half_a_surrogate_pair_stands_and_stops_nothing() -> None:
    texts = ['{"message": "\\ud800!", "source": "\\udfff", "condition": "\\ud800"}', "plain"]
    at = [int(pump(5).times_ns[0]) + n for n in range(2)]
    _, found = await outcome(column(ALARM, *texts, at=at))
    told = [value for name, _, value in found if name in ("message", "source", "condition")]
    assert told == ["?", "?!", "?", "score", "plain", None]


class Gate:
    """Takes every request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Value, str]] = []

    async def __call__(
        self, device: str, tag: str, value: Value, id_: str, reason: str
    ) -> tuple[str, str]:
        self.asked.append((device, tag, value, id_))
        assert reason
        return "good", ""


async def ask(gate: Gate | None, at_ns: int, values: list[bool]) -> tuple[Any, dict[str, int]]:
    async with world() as here:
        feed = here.feed(instance(outputs=OUTPUTS), write=gate)
        await here.accept([pump(5, at_ns=at_ns)])
        times = [at_ns] * len(values)
        verdict = await verdict_of(feed, lambda _: [column(STOP, *values, at=times)])
        await feed.close()
        return verdict, dict(feed.figures.writes)


async def test_a_write_goes_through_the_gate_with_an_id_of_its_window() -> None:
    gate, now_ns = Gate(), time.time_ns()
    verdict, writes = await ask(gate, now_ns, [True, False])
    assert gate.asked == [("press", "Stop", False, write_id("score", now_ns + 1, "stop"))]
    assert verdict.refused == {"more than one write of an output in a window": 1}
    assert writes == {"good": 1}
    assert len(gate.asked[0][3]) <= 64


async def test_nothing_is_written_because_of_old_data_or_without_a_gate() -> None:
    gate = Gate()
    old_ns = time.time_ns() - round((FRESH_S + 5) * S)
    verdict, _ = await ask(gate, old_ns, [True])
    assert (gate.asked, verdict.refused) == ([], {"write from old data": 1})
    verdict, _ = await ask(None, time.time_ns(), [True])
    assert verdict.refused == {"writes are not enabled": 1}


async def test_a_window_that_comes_again_asks_with_the_same_id() -> None:
    gate, now_ns = Gate(), time.time_ns()
    await ask(gate, now_ns, [True])
    await ask(gate, now_ns, [True])
    assert gate.asked[0] == gate.asked[1]


async def test_results_survive_the_encoding_of_the_journal() -> None:
    """Every schema of results, with all types, goes through `batch.proto` and back."""
    outputs = {f"o{n}": {"type": kind.value} for n, kind in enumerate(ValueType)}
    values: list[OutputColumn] = []
    for number, kind in enumerate(ValueType):
        if kind is ValueType.STRING:
            values.append(column(number, "t"))
        elif kind is ValueType.BYTES:
            values.append(column(number, b"b"))
        else:
            values.append(column_of(number, np.ones(1, kind.dtype)))
    verdict, found = await outcome(*values, outputs=outputs)
    assert verdict.refused == {}
    assert len(found) == len(values)


def test_an_instance_without_results_has_no_schemas() -> None:
    only = instance(outputs={"stop": OUTPUTS["stop"]})
    shapes = results_schemas("score", only.outputs)
    assert shapes.all() == ()
    assert isinstance(results_schemas("a", instance().outputs).results, Schema)
