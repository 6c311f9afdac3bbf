"""Units and verdicts: order, time, values, part numbers, curves, bad data, the line, restarts."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay_plugin import BAD, UNCERTAIN, Kind, Output, PluginError, Setup, Type, wire
from forebay_plugin import frames as framing
from forebay_plugin.manifest import Declared, Manifest, load
from forebay_plugin.testing import Frame, run, run_process, setup_message
from forebay_sequence.plugin import SequencePlugin
from forebay_sequence.simulated import curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin import Result

DIRECTORY = Path(__file__).resolve().parents[1]
NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
STEP = {"tag": "station/Step"}
RECIPE: dict[str, Any] = {
    "serial": "station/Serial",
    "reset": "station/Reset",
    "steps": [
        {
            "name": "clip",
            "begin": {**STEP, "is": 1},
            "least": "2 s",
            "most": "6 s",
            "checks": {"force": {"kind": "range", "tag": "station/Force", "min": 5, "max": 9}},
        },
        {
            "name": "scan",
            "begin": {**STEP, "is": 2},
            "checks": {
                "gasket": {
                    "kind": "part",
                    "tag": "station/Part",
                    "form": "G-[0-9]+",
                    "order": "station/Order",
                    "parts": {"77": ["G-1", "G-2"], "78": ["G-3"]},
                }
            },
        },
        {
            "name": "screws",
            "begin": {**STEP, "is": 3},
            "runs": 2,
            "checks": {"screws": {"kind": "counter", "tag": "station/Count", "by": 4, "wrap": 100}},
        },
    ],
}
GOOD = [0, 1, 1, 1, 0, 2, 2, 3, 3, 0]
COUNT = [98, 98, 98, 98, 98, 98, 98, 0, 2, 2]


def manifest(*, interlock: bool = False) -> Manifest:
    held = load(DIRECTORY)
    more = [Declared(Output("interlock", Kind.WRITE, Type.BOOL))] if interlock else []
    return replace(held, outputs=[*held.outputs, *more])


def station(rows: int = 10, bad: dict[str, list[int]] | None = None, **over: Any) -> Frame:
    """A row a second of a unit that is well, but for `over`; the first and last row have no unit.

    `bad`: column -> rows without a value.
    """
    columns: dict[str, Any] = {
        "Serial": [500] * rows,
        "Step": GOOD,
        "Force": [7.0] * rows,
        "Part": ["G-2"] * rows,
        "Order": [77] * rows,
        "Count": COUNT,
        "Reset": [0] * rows,
    } | over
    columns["Serial"] = [0, *columns["Serial"], 0]
    for name, column in columns.items():
        if name != "Serial":
            columns[name] = [column[0], *column, column[-1]]
    rows = len(columns["Step"])
    quality = {
        f"station/{name}": [BAD if row - 1 in places else 0 for row in range(rows)]
        for name, places in (bad or {}).items()
    }
    times = START_NS + np.arange(rows) * NS
    named = {
        f"station/{name}": column if name == "Part" else np.asarray(column, np.float64)
        for name, column in columns.items()
    }
    return Frame(times, named, quality)


def codes(frame: Frame, **over: Any) -> list[tuple[str, list[str]]]:
    """Verdict and reasons of each unit."""
    recipe = {**RECIPE, **over}
    ran = run(SequencePlugin, manifest(), [frame], settings=recipe, window={"rows": 1})
    assert not ran.failures
    assert not ran.refused
    found = [json.loads(text) for text in ran["record"].values]
    assert list(ran["result"].values) == [one["result"] for one in found]
    return [
        (one["result"], [f"{r['step']}:{r['code']}".strip(":") for r in one["reasons"]])
        for one in found
    ]


def test_a_unit_that_is_well() -> None:
    ran = run(SequencePlugin, manifest(), [station()], settings=RECIPE, window={"rows": 1})
    assert ran.facts == {"recipe": "3 steps", "line": "free"}
    assert list(ran["result"].values) == ["OK"]
    assert list(ran["serial"].values) == ["500"]
    assert list(ran["took"].values) == [9.0]
    record = json.loads(ran["record"].values[0])
    assert record["steps"]["clip"]["took_s"] == 3.0
    assert [step["readings"] for step in record["steps"].values()] == [
        {"force": 7.0},
        {"gasket": "G-2"},
        {"screws": 4.0},
    ]
    event = json.loads(ran["news"].values[0])
    assert (event["message"], event["active"]) == ("unit 500: OK", False)
    assert not len(ran["hold"])


@pytest.mark.parametrize(
    ("over", "reasons"),
    [
        ({"Step": [0, 2, 2, 2, 0, 1, 1, 1, 3, 0]}, ["order", "screws:screws-count"]),
        (
            {"Step": [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]},
            ["missing", "missing", "not-ended", "clip:slow"],
        ),
        ({"Step": [0, 1, 0, 0, 0, 2, 2, 3, 3, 0]}, ["clip:fast"]),
        ({"Step": [0, 1, 1, 0, 1, 1, 2, 3, 3, 0]}, ["again"]),
        ({"Force": [7, 7, 7, 9.5, 7, 7, 7, 7, 7, 7]}, ["clip:force-high"]),
        ({"Force": [4.0] * 10}, ["clip:force-low"]),
        ({"Part": ["G-3"] * 10}, ["scan:gasket-part"]),
        ({"Part": ["H-2"] * 10}, ["scan:gasket-form", "scan:gasket-part"]),
        ({"Order": [79] * 10}, ["scan:gasket-part"]),
        ({"Count": [98, 98, 98, 98, 98, 98, 98, 99, 1, 1]}, ["screws:screws-count"]),
    ],
)
def test_what_is_wrong_is_told(over: dict[str, Any], reasons: list[str]) -> None:
    ((word, told),) = codes(station(**over))
    assert word == "NOK"
    assert sorted(told) == sorted(reasons)


@pytest.mark.parametrize("tag", ["Serial", "Step", "Force", "Part", "Order", "Count"])
def test_a_step_with_bad_data_is_not_ok(tag: str) -> None:
    row = {"Serial": 4, "Step": 4, "Force": 2, "Part": 5, "Order": 6, "Count": 7}[tag]
    ((word, reasons),) = codes(station(bad={tag: [row]}))
    assert word == "UNKNOWN"
    assert any("bad-data" in reason for reason in reasons)


def test_bad_data_where_nothing_looks_at_them_cost_nothing() -> None:
    bad = {"Force": [5, 6, 7], "Count": [1, 2], "Part": [1, 7, 8]}
    assert codes(station(bad=bad)) == [("OK", [])]


def test_a_value_in_doubt_is_none() -> None:
    frame = station()
    quality = {"station/Force": [UNCERTAIN] * len(frame.times_ns)}
    ((word, _),) = codes(Frame(frame.times_ns, frame.columns, quality))
    assert word == "UNKNOWN"


def test_a_step_may_be_done_again_where_the_recipe_says_so() -> None:
    step = [0, 1, 1, 1, 2, 2, 3, 3, 0, 3, 3, 0]
    count = [10] * 6 + [11, 12, 12, 14, 16, 16]
    rows: dict[str, Any] = {"Step": step, "Count": count, "Serial": [500] * 12, "Force": [7.0] * 12}
    more: dict[str, Any] = {"Part": ["G-1"] * 12, "Order": [77] * 12, "Reset": [0] * 12}
    assert codes(station(**rows, **more)) == [("OK", [])]


def test_the_next_unit_ends_one_that_is_not_complete() -> None:
    step = [0, 1, 1, 1, 0, 0, 1, 1, 1, 0]
    ((word, reasons), *_) = codes(station(Serial=[500] * 5 + [501] * 5, Step=step))
    assert (word, reasons) == ("NOK", ["missing", "missing"])


def test_a_unit_that_was_there_before_it_was_watched_is_in_doubt() -> None:
    frame = station(Serial=[500] * 10)
    frame.columns["station/Serial"][0] = 500
    assert codes(frame) == [("UNKNOWN", ["begin-unseen"])]


def test_done_and_start_by_tags_and_a_time_for_the_unit() -> None:
    frame = station()
    step = np.asarray(frame.columns["station/Step"])
    columns = {
        **frame.columns,
        "station/Start": np.array([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0]),
        "station/Done": np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0.0]),
    }
    columns["station/Serial"] = np.full(len(step), 500.0)
    over = {"start": "station/Start", "done": {"tag": "station/Done", "is": 1}}
    whole = Frame(frame.times_ns, columns)
    assert codes(whole, **over) == [("OK", [])]
    late = Frame(frame.times_ns, {**columns, "station/Done": np.zeros(len(step))})
    assert codes(late, most="8 s", **over) == [("NOK", ["slow", "not-ended"])]


def test_silence_leaves_a_doubt() -> None:
    frame = station()
    times = frame.times_ns.copy()
    times[6:] += 20 * NS
    assert codes(Frame(times, frame.columns), silence="10 s")[0][0] == "UNKNOWN"
    assert codes(frame, silence="10 s") == [("OK", [])]


def test_a_part_number_is_used_once() -> None:
    part = {"kind": "part", "tag": "station/Part", "once": True}
    steps = [{"name": "scan", "begin": {**STEP, "is": 1}, "checks": {"pcb": part}}]
    step = [0, 1, 0, 0, 1, 0, 0, 1, 0, 0]
    serial = [1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    parts = ["A"] * 3 + ["B"] * 3 + ["A"] * 4
    found = codes(station(Step=step, Serial=serial, Part=parts), steps=steps)
    assert found == [("OK", []), ("OK", []), ("NOK", ["scan:pcb-used"])]


def test_the_line_is_held_at_once_and_let_go_by_the_reset() -> None:
    step = [0, 1, 0, 0, 0, 2, 2, 3, 3, 0, 0, 0]
    reset = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    rows = len(step)
    frame = station(
        rows,
        Step=step,
        Reset=reset,
        Serial=[500] * rows,
        Force=[7.0] * rows,
        Part=["G-1"] * rows,
        Order=[77] * rows,
        Count=[*COUNT, 2, 2],
    )
    ran = run(
        SequencePlugin, manifest(interlock=True), [frame], settings=RECIPE, window={"rows": 1}
    )
    assert [(bool(v), (t - START_NS) // NS) for v, t in _samples(ran["hold"])] == [
        (True, 3),
        (False, 11),
    ]
    assert [(bool(v), (t - START_NS) // NS) for v, t in _samples(ran["interlock"])] == [
        (True, 3),
        (False, 11),
    ]


def _samples(samples: Any) -> list[tuple[Any, int]]:
    return list(zip(samples.values, samples.times_ns, strict=True))


def test_the_interlock_is_asked_for_again_until_the_device_shows_it() -> None:
    frame = station(Force=[4.0] * 10)
    shown = np.zeros(len(frame.times_ns))
    shown[9:] = 1
    columns = {**frame.columns, "station/Held": shown}
    ran = run(
        SequencePlugin,
        manifest(interlock=True),
        [Frame(frame.times_ns, columns)],
        settings={**RECIPE, "state": "station/Held", "again": "2 s"},
        window={"rows": 1},
    )
    seconds = [(t - START_NS) // NS for _, t in _samples(ran["interlock"])]
    assert seconds == [5, 7]


def asked(
    plugin: SequencePlugin, setup: Setup, frames: list[Frame], bounds: Sequence[tuple[int, int]]
) -> list[list[Result]]:
    """Give `plugin` the windows [begin, end) over `frames`, one work each; its results."""
    columns = framing.columns_of(manifest(), frames)
    given = []
    for number, (begin, end) in enumerate(bounds):
        ranges = []
        for frame in frames:
            first, behind = np.searchsorted(frame.times_ns, [begin, end])
            ranges.append((int(first), int(behind - first)))
        work = framing.work(number + 1, number, [(begin, end, ranges)], frames, columns)
        (results,) = plugin.process_many(wire.to_windows(work, setup.inputs))
        given.append(results)
    return given


def begun(frames: list[Frame], state: Path, recipe: dict[str, Any]) -> tuple[SequencePlugin, Setup]:
    chosen = manifest().with_(recipe, None, None)
    columns = framing.columns_of(chosen, frames)
    setup = wire.to_setup(setup_message(chosen, columns, state, None))
    plugin = SequencePlugin()
    plugin.setup(setup)
    return plugin, setup


def told(given: list[list[Result]]) -> list[tuple[str, int, Any]]:
    """What is told of units, in order, without what counts."""
    found = []
    for results in given:
        for result in results:
            if result.output in ("news", "record", "hold"):
                assert result.values is not None
                assert result.times_ns is not None
                assert not isinstance(result.times_ns, int)
                found += [
                    (result.output, int(at), value)
                    for at, value in zip(result.times_ns, result.values, strict=True)
                ]
    return sorted(found, key=lambda one: one[:2])


ROW = st.tuples(
    st.sampled_from([0, 500, 500, 500, 501]),
    st.sampled_from([0, 1, 1, 2, 2, 3, 3]),
    st.sampled_from([7.0, 7.0, 7.0, 4.0]),
    st.sampled_from(["G-1", "G-1", "G-2", "H"]),
    st.integers(0, 6),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([1, 1, 2, 5]),
    st.sampled_from(["", "", "", "", "", "", "", "Step", "Force", "Serial"]),
)

WELL = [(0, 0, 7.0, "G-1", 0, 0, 1, "")] + [
    (500, step, 7.0, "G-1", count, 0, 1, "")
    for step, count in zip(GOOD, [0, 0, 0, 0, 0, 0, 0, 2, 4, 4], strict=True)
]
ROWS = st.lists(
    st.one_of(st.just(WELL), st.just(WELL), st.lists(ROW, min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
).map(lambda parts: [*(row for part in parts for row in part), *WELL[:2]])


def made(rows: list[Any]) -> list[Frame]:
    """Two devices, at times of their own, with gaps and bad data as the rows say."""
    times = START_NS + np.cumsum([row[6] for row in rows]) * NS
    columns = {
        "station/Serial": np.array([row[0] for row in rows], np.float64),
        "station/Step": np.array([row[1] for row in rows], np.float64),
        "station/Part": [row[3] for row in rows],
        "station/Order": np.full(len(rows), 77.0),
        "station/Reset": np.array([row[5] for row in rows], np.float64),
    }
    other = {
        "station/Force": np.array([row[2] for row in rows]),
        "station/Count": np.array([row[4] for row in rows], np.float64),
    }
    bad = {
        f"station/{tag}": [BAD if row[7] == tag else 0 for row in rows]
        for tag in ("Step", "Force", "Serial")
    }
    return [
        Frame(times, columns, {tag: bad[tag] for tag in ("station/Step", "station/Serial")}),
        Frame(times + NS // 3, other, {"station/Force": bad["station/Force"]}),
    ]


def bounds_of(frames: list[Frame], cuts: Sequence[int]) -> list[tuple[int, int]]:
    """Windows from the first row to 20 s behind the last, cut at `cuts` (thirds of a second)."""
    first, last = int(frames[0].times_ns[0]), int(frames[1].times_ns[-1]) + 20 * NS
    inner = sorted(
        {first + cut * NS // 3 for cut in cuts if cut * NS // 3 < last - first} - {first}
    )
    edges = [first, *inner, last]
    return list(pairwise(edges))


CUTS = st.lists(st.integers(0, 400), max_size=25)
TIMED = {**RECIPE, "most": "30 s", "silence": "4 s"}


def test_what_the_property_tests_are_made_of_is_well(tmp_path: Path) -> None:
    frames = made([*WELL, *WELL])
    plugin, setup = begun(frames, tmp_path, TIMED)
    found = told(asked(plugin, setup, frames, bounds_of(frames, [7, 20])))
    assert [json.loads(one[2])["result"] for one in found if one[0] == "record"] == ["OK", "OK"]


@settings(deadline=None)
@given(ROWS, CUTS)
def test_the_same_data_however_cut_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], cuts: list[int]
) -> None:
    frames = made(rows)
    once, again = (tmp_path_factory.mktemp("state") for _ in range(2))
    plugin, setup = begun(frames, once, TIMED)
    whole = told(asked(plugin, setup, frames, bounds_of(frames, [])))
    plugin, setup = begun(frames, again, TIMED)
    assert told(asked(plugin, setup, frames, bounds_of(frames, cuts))) == whole


@settings(deadline=None)
@given(ROWS, CUTS, st.data())
def test_no_unit_is_ok_because_of_a_restart(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], cuts: list[int], data: st.DataObject
) -> None:
    frames = made(rows)
    state, other = (tmp_path_factory.mktemp("state") for _ in range(2))
    bounds = bounds_of(frames, [*cuts, 3, 9, 15])
    plugin, setup = begun(frames, other, TIMED)
    whole = {one[:2]: one[2] for one in told(asked(plugin, setup, frames, bounds))}
    killed = data.draw(st.integers(1, len(bounds)))
    back = data.draw(st.integers(0, killed))
    plugin, setup = begun(frames, state, TIMED)
    asked(plugin, setup, frames, bounds[:killed])  # killed: close() is not called
    plugin, setup = begun(frames, state, TIMED)
    given_again = told(asked(plugin, setup, frames, bounds[killed - back :]))
    border = bounds[killed - back][0] if killed - back < len(bounds) else bounds[-1][1]
    for output, at, text in given_again:
        if output != "record":
            continue
        record = json.loads(text)
        if record["began_ns"] < border:
            assert record["result"] != "OK"
        elif record["result"] == "OK":
            assert json.loads(whole["record", at])["result"] == "OK"


def test_a_unit_that_was_under_way_at_a_restart_is_told(tmp_path: Path) -> None:
    frames = [station()]
    bounds = [(START_NS + n * NS, START_NS + (n + 1) * NS) for n in range(len(frames[0].times_ns))]
    plugin, setup = begun(frames, tmp_path, RECIPE)
    assert told(asked(plugin, setup, frames, bounds[:5])) == []
    plugin, setup = begun(frames, tmp_path, RECIPE)
    given_again = told(asked(plugin, setup, frames, bounds[3:]))
    records = [json.loads(text) for output, _, text in given_again if output == "record"]
    assert [one["result"] for one in records] == ["UNKNOWN"]
    assert records[0]["reasons"][0]["code"] == "restart"


def test_the_line_stays_held_over_a_restart(tmp_path: Path) -> None:
    frames = [station(Force=[4.0] * 10)]
    bounds = [(START_NS, START_NS + 12 * NS)]
    plugin, setup = begun(frames, tmp_path, RECIPE)
    asked(plugin, setup, frames, bounds)
    assert SequencePlugin().setup(setup) == {"recipe": "3 steps", "line": "held"}


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"serial": ""}, "need both"),
        ({"serial": "station/Nothing"}, "station/Nothing"),
        ({"surprise": 1}, "settings.surprise is unknown"),
        ({"steps": [{"name": "a"}]}, r"steps\[0\].begin is missing"),
        ({"steps": [{"name": "a", "begin": "station/Step", "after": ["b"]}]}, "no such step"),
        ({"most": "soon"}, "is no duration"),
        ({"hold": ["OK"]}, "settings.hold"),
        ({"reset": None}, "settings.reset is missing"),
    ],
)
def test_a_wrong_recipe_is_told_with_its_place(over: dict[str, Any], words: str) -> None:
    recipe = {**RECIPE, **over}
    with pytest.raises(PluginError, match=words):
        run(SequencePlugin, manifest(interlock=True), [station()], settings=recipe)


def test_the_example_of_the_readme_in_the_real_process() -> None:
    text = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    example = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])
    recipe = example["plugins"]["cell4"]["settings"]
    frame = station()
    torque, angle = curve(np.random.default_rng(1))
    rows = len(torque) + 10
    columns: dict[str, Any] = {
        "station/Serial": np.concatenate([[0], np.full(rows - 2, 500), [0]]),
        "station/Step": np.concatenate([[0] * 2, [1] * 2, [2] * 2, [3] * len(torque), [0] * 4]),
        "station/Force": np.full(rows, 7.0),
        "station/Part": ["G-2"] * rows,
        "station/Order": np.full(rows, 77.0),
        "station/Torque": np.concatenate([[0] * 6, torque, [0] * 4]),
        "station/Angle": np.concatenate([[0] * 6, angle, [0] * 4]),
        "station/Reset": np.zeros(rows),
        "station/Interlock": np.zeros(rows),
    }
    times = frame.times_ns[0] + np.arange(rows) * 10_000_000
    ran = run_process(
        manifest(interlock=True),
        [Frame(times, columns)],
        settings=recipe,
        window={"rows": 1},
    )
    assert list(ran["result"].values) == ["OK"]
    assert set(json.loads(ran["record"].values[0])["steps"]) == {"press", "gasket", "screw"}
