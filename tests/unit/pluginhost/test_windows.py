"""Windows are the same for the same records, whatever happens in between."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Stream, ValueType
from forebay.pluginhost.manifest import WindowSettings
from forebay.pluginhost.rows import Block, Key
from forebay.pluginhost.rule import Rule
from forebay.pluginhost.seams import Input, Work
from forebay.pluginhost.splitting import split
from forebay.pluginhost.windows import Moment, Taken, Through, Windows
from support.fuzz import examples

S = 1_000_000_000
A, B = (Key(Stream.TELEMETRY, name, "default") for name in ("a", "b"))
INPUTS = (
    Input("x", "a/1", ValueType.FLOAT64),
    Input("x", "a/2", ValueType.INT32),
    Input("x", "b/1", ValueType.FLOAT64),
)
MEMBERS = {A: (0, 1), B: (2,)}


class Rows(NamedTuple):
    """One record of a property test: seconds of one axis, and how late each came."""

    key: Key
    seconds: list[int]
    delay_s: int = 0


def members(key: Key) -> tuple[int, ...]:
    return MEMBERS[key]


def block(record: Rows, number: int = 0) -> Block:
    times = np.array(record.seconds, np.int64) * S
    mine = MEMBERS[record.key]
    values: list[Any] = [(times // S * 10 + number).astype(INPUTS[one].type.dtype) for one in mine]
    quality = np.zeros((len(times), len(mine)), np.uint32)
    return Block(record.key, times, times + record.delay_s * S, mine, tuple(values), quality)


def rule(**settings: Any) -> Rule:
    return Rule.of(WindowSettings.model_validate(settings))


def shown(work: Work) -> list[tuple[Any, ...]]:
    """Each window with all that it holds, in seconds."""
    out = []
    for window in work.windows:
        parts: list[Any] = []
        for one in work.series:
            first, count = window.ranges[one.axis]
            times = work.axes[one.axis][first : first + count] // S
            parts.append((times.tolist(), one.values[first : first + count].tolist()))
        out.append((window.number, window.begin_ns / S, window.end_ns / S, parts))
    return out


def run(windows: Windows, records: list[Rows], most: int = 3) -> list[tuple[Any, ...]]:
    out = []
    for number, record in enumerate(records):
        windows.add([block(record, number)], number)
        while (work := windows.take(most)) is not None:
            out += shown(work)
    return out


def alone(settings: dict[str, Any], records: list[Rows]) -> list[tuple[Any, ...]]:
    return run(Windows(rule(**settings), INPUTS[:2], members), records)


def test_windows_of_rows_follow_their_stride_over_records() -> None:
    records = [Rows(A, [1, 2, 3]), Rows(A, [4]), Rows(A, [5, 6, 7])]
    found = alone({"rows": 3, "stride": 2}, records)
    assert [one[3][0][0] for one in found] == [[1, 2, 3], [3, 4, 5], [5, 6, 7]]
    assert [one[:3] for one in found] == [(0, 1, 3 + 1e-9), (1, 3, 5 + 1e-9), (2, 5, 7 + 1e-9)]
    found = alone({"rows": 1, "stride": 3}, records)
    assert [one[3][0][0] for one in found] == [[1], [4], [7]]


def test_windows_of_time_are_aligned_and_pass_over_what_is_empty() -> None:
    records = [Rows(A, [7, 8, 9]), Rows(A, [10, 11]), Rows(A, [10_000_001]), Rows(A, [10_000_006])]
    found = alone({"every": 5.0}, records)
    assert [one[1:3] for one in found] == [(5, 10), (10, 15), (10_000_000, 10_000_005)]
    assert [one[0] for one in found] == [0, 1, 2]
    found = alone({"every": 5.0, "length": 10.0}, records[:3])
    assert [one[1:3] for one in found] == [(0, 10), (5, 15), (10, 20)]


def test_a_window_waits_for_others_but_not_beyond_its_grace() -> None:
    windows = Windows(rule(every=5.0, grace=3.0), INPUTS, members)
    assert run(windows, [Rows(A, [1, 2, 3, 4, 5, 6])]) == []
    (first,) = run(windows, [Rows(B, [2, 5])])
    assert first[3][2][0] == [2]
    assert run(windows, [Rows(A, [7, 8, 9, 10, 12, 13])]) == [], "others may come with it"
    (second,) = run(windows, [Rows(A, [14])])
    assert second[3][2][0] == [5]
    assert run(windows, [Rows(B, [6, 9])]) == []
    assert windows.counts == {"late": 2, "ahead": 0}


def test_rows_of_another_axis_come_with_those_of_the_leader() -> None:
    windows = Windows(rule(rows=2), INPUTS, members)
    assert run(windows, [Rows(B, [1]), Rows(A, [2, 4])]) == []
    (found,) = run(windows, [Rows(B, [3, 5])])
    assert found[3] == [([2, 4], [21, 41]), ([2, 4], [21, 41]), ([3], [30])]


def test_one_clock_that_is_ahead_closes_nothing_and_holds_nothing() -> None:
    windows = Windows(rule(every=5.0), INPUTS, members)
    ahead = Block(
        B, np.array([10**9 * S]), np.array([2 * S]), (2,), (np.array([1.0]),),
        np.zeros((1, 1), np.uint32),
    )  # fmt: skip
    windows.add([ahead])
    assert run(windows, [Rows(A, [1, 2, 3, 4])]) == []
    (found,) = run(windows, [Rows(A, [6, 7])])
    assert found[3][0][0] == [1, 2, 3, 4]
    assert windows.counts == {"late": 0, "ahead": 1}


def test_a_device_that_went_back_is_sorted_into_its_window() -> None:
    found = alone({"every": 10.0}, [Rows(A, [3, 5]), Rows(A, [4]), Rows(A, [12])])
    assert found[0][3][0][0] == [3, 4, 5]


def test_what_was_read_is_let_go_and_what_is_needed_stays() -> None:
    windows = Windows(rule(rows=4, stride=2), INPUTS[:2], members)
    records = [Rows(A, [n]) for n in range(100)]
    for number, record in enumerate(records):
        windows.add([block(record)], number)
    work = windows.take(100)
    assert work is not None
    assert isinstance(work.mark, Taken)
    assert windows.forget(work.mark.after) == list(range(98))
    assert windows.moment(work.mark.after) == Moment(Through(49, 0), {A: 97 * S}, 97 * S)
    assert windows.nbytes == 2 * (16 + 8 + 8 + 4)


def test_a_work_is_split_into_its_windows() -> None:
    windows = Windows(rule(rows=2), INPUTS, members)
    for record in (Rows(A, [1, 2, 3, 4]), Rows(B, [2, 3, 9])):
        windows.add([block(record)])
    work = windows.take(9)
    assert work is not None
    parts = split(work)
    assert [one for part in parts for one in shown(part)] == shown(work)
    assert [len(part.axes[0]) for part in parts] == [2, 2]
    assert isinstance(work.mark, Taken)
    afters = [part.mark.after for part in parts]  # type: ignore[attr-defined]
    assert afters == [Through(1, 2), work.mark.after]


SETTINGS = st.one_of(
    st.fixed_dictionaries({"rows": st.integers(1, 6), "stride": st.integers(1, 8)}),
    st.fixed_dictionaries(
        {
            "every": st.sampled_from([2.0, 5.0]),
            "length": st.sampled_from([1.0, 5.0, 9.0]),
            "grace": st.sampled_from([0.0, 3.0]),
        }
    ),
)


def history(rng: random.Random) -> list[Rows]:
    """Give records of two devices whose clocks go on, not in step, with holes."""
    at = {A: rng.randint(10**6, 10**6 + 20)}
    at[B] = at[A] + rng.randint(-3, 3)
    out = []
    for _ in range(rng.randint(1, 30)):
        key = rng.choice([A, A, B])
        seconds = []
        for _ in range(rng.randint(1, 4)):
            at[key] += rng.choice([1, 1, 1, 1, 2, 7])
            seconds.append(at[key])
        out.append(Rows(key, seconds, rng.randint(0, 2)))
    return out


@examples(200)
@given(SETTINGS, st.integers(1, 4), st.integers(0, 1 << 32))
def test_after_a_restart_the_same_windows_come_again(
    settings: dict[str, Any], most: int, seed: int
) -> None:
    """At any record, and with any of the windows done, a new start gives the rest, bit for bit."""
    rng = random.Random(seed)
    records = history(rng)
    whole = run(Windows(rule(**settings), INPUTS, members), records, most)
    windows, done, first, at = Windows(rule(**settings), INPUTS, members), Through(), 0, 0
    found: list[tuple[Any, ...]] = []
    restarts = 0
    while at < len(records):
        windows.add([block(records[at], at)], at)
        at += 1
        undone = False
        while not undone and (work := windows.take(1)) is not None:
            undone = restarts < len(records) and rng.random() < 0.3
            if not undone:
                found += shown(work)
                assert isinstance(work.mark, Taken)
                done = work.mark.after
        first += len(windows.forget(done))
        if undone or rng.random() < 0.1:
            restarts += 1
            moment = windows.moment(done)
            windows, done, at = (
                Windows(rule(**settings), INPUTS, members, moment),
                moment.through,
                first,
            )
    assert found == whole


@examples(100)
@given(st.integers(0, 1 << 32), st.sampled_from([2.0, 5.0]))
def test_each_row_is_in_the_window_of_its_time_or_counted(seed: int, every: float) -> None:
    records = history(random.Random(seed))
    windows = Windows(rule(every=every, grace=0.0), INPUTS, members)
    found = run(windows, records)
    held = sum(len(values) for one in found for _, values in one[3])
    for one in found:
        for times, _ in one[3]:
            assert all(one[1] <= time < one[2] for time in times)
    ends = [one[2] for one in found]
    assert ends == sorted(set(ends))
    sent = sum(len(r.seconds) * len(MEMBERS[r.key]) for r in records)
    waiting = sum(
        len(axis.inputs) * (axis.end - axis.since(int((ends[-1] if ends else 0) * S)))
        for axis in windows._axes.values()  # noqa: SLF001 - nothing else knows what waits
    )
    assert held + windows.counts["late"] + waiting == sent
