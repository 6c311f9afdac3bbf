"""Windows in, transitions out: the states of alarms, restarts, bad data, writes, the README."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay_plugin import BAD, Kind, Output, PluginError, Type, windowlog
from forebay_plugin.manifest import Declared, Manifest, load
from forebay_plugin.testing import Frame, Ran, run, run_process
from forebay_rules.plugin import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

DIRECTORY = Path(__file__).resolve().parents[1]
NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
HOT = {"when": "temp > 80", "clear": "temp < 75", "priority": "high", "text": "Too hot"}


def manifest(**outputs: tuple[Kind, Type]) -> Manifest:
    held = load(DIRECTORY)
    more = [Declared(Output(name, kind, of)) for name, (kind, of) in outputs.items()]
    return replace(held, outputs=[*held.outputs, *more])


def frame(first: int = 0, quality: Any = None, **columns: Sequence[float]) -> Frame:
    """One row a second, half past it; `first` seconds after the start.

    And one more: a window of time ends when there are data behind it.
    """
    rows = len(next(iter(columns.values()))) + 1
    times = START_NS + (first + np.arange(rows)) * NS + NS // 2
    named = {f"press/{name}": np.asarray([*column, 0.0]) for name, column in columns.items()}
    codes = {f"press/{name}": [*column, 0] for name, column in (quality or {}).items()}
    return Frame(times, named, codes)


def judged(data: list[Frame], alarm: dict[str, Any] | None = None, **over: Any) -> Ran:
    names = {tag.rpartition("/")[2].lower(): tag for one in data for tag in one.columns}
    settings = {"aliases": names, **over.pop("settings", {})}
    if alarm is not None:
        settings["alarms"] = {"hot": alarm}
    ran = run(Rules, over.pop("manifest", manifest()), data, settings=settings, **over)
    assert not ran.failures
    return ran


def told(ran: Ran) -> list[tuple[int, str]]:
    """Second of each event, and what it says of the alarm."""
    events = [json.loads(text) for text in ran["alarms"].values]
    seconds = [int((time - START_NS) // NS) for time in ran["alarms"].times_ns]
    words = [event["message"].partition(": ")[2].partition(" (")[0] for event in events]
    return list(zip(seconds, words, strict=True))


ACTIVE, SEEN = "active, unacknowledged", "active, acknowledged"
RETURNED, NORMAL = "returned to normal, unacknowledged", "normal"


def test_an_alarm_comes_goes_and_has_hysteresis() -> None:
    ran = judged([frame(Temp=[70, 81, 78, 82, 74, 78, 70])], HOT)
    assert told(ran) == [(1, ACTIVE), (4, NORMAL)]
    event = json.loads(ran["alarms"].values[0])
    assert event == {
        "message": "Too hot: active, unacknowledged (high)",
        "severity": 700,
        "condition": "hot",
        "active": True,
        "acked": False,
        "source": "press/Temp",
    }


def test_acknowledged_before_and_after_it_returned() -> None:
    temps = [70, 90, 90, 90, 70, 90, 70, 70, 70]
    acked = [0, 0, 1, 1, 0, 0, 0, 0, 1]
    ran = judged([frame(Temp=temps, Ack=acked)], {**HOT, "acknowledge": "ack"})
    assert told(ran) == [
        (1, ACTIVE),
        (2, SEEN),
        (4, NORMAL),
        (5, ACTIVE),
        (6, RETURNED),
        (8, NORMAL),
    ]


def test_a_returned_alarm_that_comes_again_is_active() -> None:
    alarm = {**HOT, "acknowledge": "ack"}
    ran = judged([frame(Temp=[90, 70, 90], Ack=[0, 0, 0])], alarm)
    assert told(ran) == [(0, ACTIVE), (1, RETURNED), (2, ACTIVE)]


def test_a_button_that_is_held_acknowledges_nothing_new() -> None:
    ran = judged([frame(Temp=[70, 90, 90], Ack=[1, 1, 1])], {**HOT, "acknowledge": "ack"})
    assert told(ran) == [(1, ACTIVE)]


def test_a_latched_alarm_stays_until_it_is_acknowledged_when_clear() -> None:
    alarm = {**HOT, "acknowledge": "ack", "latched": True}
    ran = judged([frame(Temp=[90, 90, 70, 70, 70], Ack=[0, 1, 0, 0, 1])], alarm)
    assert told(ran) == [(0, ACTIVE), (1, SEEN), (4, NORMAL)]


def test_delays() -> None:
    alarm = {**HOT, "on_delay": "2 s", "off_delay": "3 s"}
    ran = judged([frame(Temp=[90, 90, 70, 90, 90, 90, 90, 70, 70, 78, 70, 70, 70, 70])], alarm)
    assert told(ran) == [(5, ACTIVE), (13, NORMAL)]


def test_bad_data_neither_raise_nor_clear_and_restart_a_delay() -> None:
    bad = [0, BAD, BAD, 0, BAD, 0]
    ran = judged([frame(Temp=[70, 90, 90, 90, 0, 70], quality={"Temp": bad})], HOT)
    assert told(ran) == [(3, ACTIVE), (5, NORMAL)]
    delayed = {**HOT, "on_delay": "2 s"}
    bad = [0, 0, BAD, 0, 0, 0]
    ran = judged([frame(Temp=[90, 90, 90, 90, 90, 90], quality={"Temp": bad})], delayed)
    assert told(ran) == [(5, ACTIVE)]


def test_a_value_with_a_limit_and_a_deadband() -> None:
    high = {"value": "temp", "high": 80.0, "deadband": 5.0}
    assert told(judged([frame(Temp=[80, 81, 76, 75])], high)) == [(1, ACTIVE), (3, NORMAL)]
    low = {"value": "temp * 2", "low": 10.0, "deadband": 2.0}
    assert told(judged([frame(Temp=[5, 4.5, 5.5, 6])], low)) == [(1, ACTIVE), (3, NORMAL)]


def test_suppressed_while_the_machine_is_off() -> None:
    alarm = {**HOT, "suppress": "not running"}
    temps, running = [90, 90, 90, 90, 70, 70], [0, 0, 1, 0, 0, 1]
    ran = judged([frame(Temp=temps, Running=running)], alarm)
    assert told(ran) == [(0, "suppressed"), (2, ACTIVE), (3, "suppressed"), (5, NORMAL)]


def test_shelved_until_a_time_and_out_of_service() -> None:
    until = datetime.fromtimestamp(START_NS / NS + 3, UTC).isoformat()
    ran = judged([frame(Temp=[90] * 6)], {**HOT, "shelved_until": until})
    assert told(ran) == [(0, "shelved"), (3, ACTIVE)]
    ran = judged([frame(Temp=[90] * 6)], {**HOT, "out_of_service": True})
    assert told(ran) == [(0, "out of service")]


def test_a_restart_makes_no_news_and_loses_none(tmp_path: Path) -> None:
    """Whatever the row at which the process ends: the news are the same as without an end."""
    rng = np.random.default_rng(3)
    temps = rng.choice([70.0, 78.0, 90.0], 60)
    acks = rng.choice([0.0, 1.0], 60)
    alarm = {**HOT, "acknowledge": "ack", "on_delay": "1 s", "latched": True}
    settings = {"expressions": {"long": "lasting(temp > 75, '2 s') + hysteresis(temp, 72, 80)"}}
    kept = manifest(long=(Kind.TAG, Type.FLOAT64))
    whole = judged([frame(Temp=[*temps], Ack=[*acks])], alarm, settings=settings, manifest=kept)
    assert len(told(whole)) > 8
    for cut in (7, 23, 38):
        state = tmp_path / str(cut)
        state.mkdir()
        news, values = [], []
        for first, behind in ((0, cut), (cut, 60)):
            part = frame(first, Temp=[*temps[first:behind]], Ack=[*acks[first:behind]])
            ran = judged([part], alarm, settings=settings, manifest=kept, state=state)
            news += told(ran)
            values += list(ran["long"].values)
        assert news == told(whole)
        assert values == list(whole["long"].values)


def test_windows_that_come_again_after_a_crash_give_the_same(tmp_path: Path) -> None:
    temps = [70.0, 90, 90, 70, 90, 70, 70, 90, 90, 70]
    alarm = {**HOT, "on_delay": "1 s"}
    first = judged([frame(Temp=temps)], alarm, state=tmp_path)
    again = judged([frame(Temp=temps)], alarm, state=tmp_path)
    assert told(again) == told(first) != []
    later = judged([frame(4, Temp=temps[4:])], alarm, state=tmp_path)
    assert told(later) == [one for one in told(first) if one[0] >= 4]


def test_a_replay_gives_what_was_given_and_keeps_nothing(tmp_path: Path) -> None:
    temps = [70.0, 90, 90, 70, 90, 90, 70, 90, 90, 70]
    alarm = {**HOT, "on_delay": "1 s"}
    live = judged([frame(Temp=temps)], alarm, state=tmp_path)
    kept = (tmp_path / "known").read_bytes()
    again = judged([frame(5, Temp=temps[5:])], alarm, state=tmp_path, replay=True)
    assert told(again) == [one for one in told(live) if one[0] >= 5] != []
    assert (tmp_path / "known").read_bytes() == kept
    anew = judged([frame(5, Temp=temps[5:])], alarm, replay=True)
    assert told(anew) == [(8, ACTIVE), (9, NORMAL)]


def test_a_write_that_a_kill_tore_costs_only_itself(tmp_path: Path) -> None:
    """Sixteen windows are one work: what was known behind the first is whole."""
    temps = [70.0] * 15 + [90.0, 90, 70, 90, 90]
    whole = judged([frame(Temp=temps)], HOT, state=tmp_path)
    log = tmp_path / "known"
    os.truncate(log, log.stat().st_size - 5)
    again = judged([frame(16, Temp=temps[16:])], HOT, state=tmp_path)
    assert told(whole) == [(15, ACTIVE), (17, NORMAL), (18, ACTIVE)]
    assert told(again) == told(whole)[1:]
    assert told(judged([frame(20, Temp=[90.0])], HOT, state=tmp_path)) == []


def test_the_logs_stay_small_and_an_old_one_counts_until_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windowlog, "LOG_BYTES", 2000)
    temps = [90.0 if second % 50 > 25 else 70.0 for second in range(400)]
    judged([frame(Temp=temps)], HOT, state=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known", "known-older"]
    assert all(path.stat().st_size < 5000 for path in tmp_path.iterdir())
    known, history = windowlog.WindowLog(tmp_path).load()
    assert json.loads(known)["last_ns"] == START_NS + 399 * NS + NS // 2
    assert len(history) > 16
    again = judged([frame(399, Temp=[70.0, 90])], HOT, state=tmp_path)
    assert told(again) == [(399, NORMAL), (400, ACTIVE)]


def test_time_that_goes_back_is_not_blindness(tmp_path: Path) -> None:
    """The clock of a controller is set back by an hour, while the process runs on."""
    before, back = frame(3600, Temp=[70.0] * 5), frame(0, Temp=[70.0, 90, 90, 70, 70])
    temps = np.concatenate([one.columns["press/Temp"] for one in (before, back)])
    both = Frame(np.concatenate([before.times_ns, back.times_ns]), {"press/Temp": temps})
    ran = judged([both], HOT, window={"rows": 1})
    assert told(ran) == [(1, ACTIVE), (3, NORMAL)]


def test_the_same_moments_again_while_it_runs_are_no_windows_that_come_again() -> None:
    """The clock is set back by ten seconds: what was decided since is not forgotten."""
    first, again = frame(0, Temp=[70.0] * 8 + [90.0] * 2), frame(0, Temp=[90.0] * 3 + [70.0] * 2)
    temps = np.concatenate([one.columns["press/Temp"] for one in (first, again)])
    both = Frame(np.concatenate([first.times_ns, again.times_ns]), {"press/Temp": temps})
    ran = judged([both], HOT, window={"rows": 1})
    assert told(ran) == [(8, ACTIVE), (10, NORMAL), (0, ACTIVE), (3, NORMAL)]


def test_overlapping_windows_judge_each_row_once() -> None:
    temps = [70.0, 90, 70, 90, 70, 70, 70]
    apart = judged([frame(Temp=temps)], HOT)
    over = judged([frame(Temp=temps)], HOT, window={"every": "1 s", "length": "4 s"})
    assert told(over) == told(apart) != []


def test_an_alarm_on_a_moving_mean() -> None:
    alarm = {"when": "mean(temp) > 80", "text": "Too hot"}
    ran = judged(
        [frame(Temp=[70.0, 90, 70, 90, 90, 90, 70, 70, 70])],
        alarm,
        window={"rows": 3, "stride": 1},
    )
    assert told(ran) == [(3, ACTIVE), (7, NORMAL)]


def test_expressions_are_tags_with_honest_quality() -> None:
    data = frame(Volt=[230.0, 231, 0, 230], Amp=[10.0, 0, 5, 5], quality={"Volt": [0, 0, BAD, 0]})
    settings = {"expressions": {"kw": "volt * amp / 1000", "per": "volt / amp", "on": "amp > 1"}}
    outputs = manifest(
        kw=(Kind.TAG, Type.FLOAT64), per=(Kind.TAG, Type.FLOAT32), on=(Kind.TAG, Type.BOOL)
    )
    ran = judged([data], settings=settings, manifest=outputs)
    assert list(ran["kw"].values) == [2.3, 0.0, 0.0, 1.15]
    assert list(ran["kw"].good) == [True, True, False, True]
    assert list(ran["per"].good) == [True, False, False, True]
    assert list(ran["on"].values) == [True, False, True, True]
    assert not ran.refused


def test_an_interlock_is_written_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = manifest(stop=(Kind.WRITE, Type.BOOL))
    data = frame(Temp=[70.0, 90, 90, 70, 70, 70], quality={"Temp": [0, 0, BAD, 0, 0, 0]})
    settings = {"expressions": {"stop": "temp > 80"}}
    monkeypatch.setattr(Rules, "now_ns", staticmethod(lambda: START_NS + 5 * NS))
    ran = judged([data], settings=settings, manifest=outputs)
    assert list(ran["stop"].values) == [False, True, False]
    assert [int((time - START_NS) // NS) for time in ran["stop"].times_ns] == [0, 1, 3]


def test_an_interlock_is_asked_for_again_where_that_is_wished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = manifest(stop=(Kind.WRITE, Type.BOOL))
    monkeypatch.setattr(Rules, "now_ns", staticmethod(lambda: START_NS + 8 * NS))
    settings = {"expressions": {"stop": "temp > 80"}, "repeat": "3 s"}
    data = frame(Temp=[70.0, 70, 70, 70, 90, 90, 90, 90])
    ran = judged([data], settings=settings, manifest=outputs)
    asked = zip(ran["stop"].times_ns, ran["stop"].values, strict=True)
    assert [((time - START_NS) // NS, value) for time, value in asked] == [
        (0, False),
        (3, False),
        (4, True),
        (7, True),
    ]


def test_an_interlock_that_waited_through_a_pause_is_written_as_it_is_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway writes nothing that follows from old data: asking for it would be forgotten."""
    outputs = manifest(stop=(Kind.WRITE, Type.BOOL))
    monkeypatch.setattr(Rules, "now_ns", staticmethod(lambda: START_NS + 20 * NS))
    data = frame(Temp=[70.0] * 5 + [90.0] * 14)
    ran = judged([data], settings={"expressions": {"stop": "temp > 80"}}, manifest=outputs)
    assert list(ran["stop"].values) == [True]
    assert [int((time - START_NS) // NS) for time in ran["stop"].times_ns] == [12]


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (Type.UINT8, [0, 1, 0]),
        (Type.BOOL, [False, True, False]),
        (Type.STRING, [NORMAL, ACTIVE, NORMAL]),
    ],
)
def test_an_output_with_the_alarms_name_shows_its_state(of: Type, wanted: list[Any]) -> None:
    ran = judged([frame(Temp=[70, 90, 70])], HOT, manifest=manifest(hot=(Kind.TAG, of)))
    assert list(ran["hot"].values) == wanted


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"expressions": {"kw": "temp"}}, r"add \[plugins.rules.outputs.kw\]"),
        ({"alarms": {"hot": {"when": "tmep > 1"}}}, "alarms.hot.when: .*is temp meant"),
        ({"alarms": {"hot": {"when": "temp > 1", "prio": 1}}}, "hot.prio: unknown"),
        ({"alarms": {"hot": {"when": "temp > 1", "priority": "urgent"}}}, "'urgent' is not of"),
        ({"alarms": {"hot": {"when": "temp > 1", "on_delay": "soon"}}}, "on_delay: 'soon'"),
        ({"alarms": {"hot": {"when": "temp > 1", "latched": True}}}, "it would stay"),
        ({"alarms": {"hot": {"value": "temp"}}}, "one of high and low"),
        ({"alarms": {"hot": {"high": 3}}}, "write either when, or value"),
        ({"alarms": {"hot": {"when": "temp > 1", "shelved_until": "May"}}}, "no date and time"),
        ({"alarms": {"hot": 3}}, "alarms.hot is no table"),
        ({"alarm": {}}, "settings.alarm: unknown"),
        ({"aliases": {"t": "press/Tmp"}}, "not among the inputs"),
        ({"good_part": 2}, "good_part: 2"),
        ({"alarms": {f"a{n}": HOT for n in range(257)}}, "256 at most"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(PluginError, match=why):
        judged([frame(Temp=[1.0, 2.0])], settings=settings)


def test_the_example_of_the_readme_runs() -> None:
    _, _, behind = (DIRECTORY / "README.md").read_text().partition("```toml\n")
    instance = tomllib.loads(behind.partition("```")[0])["plugins"]["press-rules"]
    outputs = manifest(power=(Kind.TAG, Type.FLOAT64))
    data = frame(
        Temp=[70.0, 90, 90, 90, 90, 90, 60, 60],
        Flow=[5.0, 5, 5, 1, 1, 1, 4, 4],
        Volt=[230.0] * 8,
        Amp=[10.0] * 8,
        AckButton=[0.0, 0, 0, 0, 0, 1, 0, 0],
        Running=[1.0] * 8,
    )
    given = run(
        Rules,
        outputs,
        [data],
        settings=instance["settings"],
        inputs=instance["inputs"],
        window=instance["window"],
    )
    assert not given.failures
    assert list(given["power"].values) == [2.3] * 8
    messages = [json.loads(one)["message"] for one in given["alarms"].values]
    assert messages == [
        "dry: active, unacknowledged (medium)",
        "Press too hot: active, unacknowledged (high)",
        "Press too hot: active, acknowledged (high)",
        "dry: active, acknowledged (medium)",
        "Press too hot: normal (high)",
        "dry: normal (medium)",
    ]


def test_the_real_process_gives_the_same() -> None:
    data = [frame(Temp=[70, 81, 78, 82, 74, 78, 70])]
    settings = {"aliases": {"temp": "press/Temp"}, "alarms": {"hot": HOT}}
    there = run_process(DIRECTORY, data, settings=settings)
    assert told(there) == told(judged(data, HOT)) == [(1, ACTIVE), (4, NORMAL)]
