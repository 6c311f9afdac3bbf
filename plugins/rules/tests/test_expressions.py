"""What expressions mean, held against the same computed in plain Python; and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from forebay_plugin.plugin import Input
from forebay_plugin.types import BAD, UNCERTAIN, Type
from forebay_plugin.window import Series
from forebay_rules.expression import ExpressionError, compile_expression
from forebay_rules.rows import Rows, Track

NS = 1_000_000_000
TAGS = ("a/X", "a/Y", "b/Slow")
NAMES = {"x": "a/X", "y": "a/Y", "slow": "b/Slow"}
NAN = math.nan


def track(times_s: Any, values: Any, quality: Any = None, before: Any = None) -> Track:
    times = np.round(np.asarray(times_s, float) * NS).astype(np.int64)
    codes = np.zeros(len(times), np.uint32) if quality is None else np.asarray(quality, np.uint32)
    kind = Input("tags", "any", Type.FLOAT64)
    return Track.of(Series(kind, times, np.asarray(values, float), codes), before)


def value(text: str, tracks: dict[str, Track], **kept: Any) -> list[float]:
    """Values of `text` at every moment of any of `tracks`, whose times are whole seconds."""
    times = np.unique(np.concatenate([one.times for one in tracks.values()]))
    absent = track([], [])
    rows = Rows(times, times, {tag: tracks.get(tag, absent) for tag in TAGS}, **kept)
    found = compile_expression(text, TAGS, NAMES, "test").run(rows)
    return [float(one) for one in found]


def same(found: list[float], wanted: list[float]) -> bool:
    return np.allclose(found, wanted, equal_nan=True, rtol=1e-12)


X = [1.0, 2.0, 4.0, -8.0]
Y = [3.0, 0.0, 2.0, 2.0]
BOTH = {"a/X": track(range(4), X), "a/Y": track(range(4), Y)}


@pytest.mark.parametrize(
    "text",
    [
        "x + y * 2 - 1",
        "-x ** 2",
        "(x + y) % 3",
        "x // 3",
        "x > y",
        "0 < x <= 2",
        "x == 4 or y == 0",
        "not (x > y and y > 1)",
        "x if x > 0 else y",
        "abs(x)",
        "round(x / 3)",
    ],
)
def test_operators_mean_what_they_mean_in_python(text: str) -> None:
    wanted = [float(eval(text, {"x": x, "y": y})) for x, y in zip(X, Y, strict=True)]  # noqa: S307 - the oracle, on texts above
    assert same(value(text, BOTH), wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x / y", [1 / 3, NAN, 2.0, -4.0]),
        ("sqrt(x)", [1.0, 2**0.5, 2.0, NAN]),
        ("min(x, y)", [1.0, 0.0, 2.0, -8.0]),
        ("max(x, y, 1)", [3.0, 2.0, 4.0, 2.0]),
        ("clip(x, 0, 3)", [1.0, 2.0, 3.0, 0.0]),
        ("good(x / y)", [1.0, 0.0, 1.0, 1.0]),
        ("default(x / y, 9)", [1 / 3, 9.0, 2.0, -4.0]),
        ("mean(x)", [-0.25] * 4),
        ("max(x) - min(x)", [12.0] * 4),
        ("last(x - y)", [-10.0] * 4),
        ("std(y)", [float(np.std(Y))] * 4),
        ("median(x) + sum(y)", [8.5] * 4),
        ("rate(x)", [NAN, 1.0, 2.0, -12.0]),
        ("delta(y)", [NAN, -3.0, 2.0, 0.0]),
        ("lasting(x > 1, '1 s')", [0.0, 0.0, 1.0, 0.0]),
        ("hysteresis(x, 0, 3)", [0.0, 0.0, 1.0, 0.0]),
        ('tag("a/X") * pi', [math.pi * x for x in X]),
    ],
)
def test_functions(text: str, wanted: list[float]) -> None:
    assert same(value(text, BOTH), wanted)


def test_tags_of_other_devices_hold_their_last_value() -> None:
    tracks = {"a/X": track([0, 1, 2, 3], X), "b/Slow": track([0.5, 2.5], [10, 20])}
    assert same(value("slow", tracks), [NAN, 10, 10, 10, 20, 20])
    assert same(value("x + slow", tracks), [NAN, 11, 12, 14, 24, 12])
    assert same(value("rate(slow)", tracks), [NAN, NAN, NAN, NAN, 5, 5])
    assert same(value("age(slow)", tracks), [NAN, 0, 0.5, 1.5, 0, 0.5])
    assert same(value("slow", tracks, stale_ns=NS), [NAN, 10, 10, NAN, 20, 20])


def test_what_was_last_before_the_window_is_held() -> None:
    tracks = {
        "a/X": track([10, 11], [1, 2]),
        "b/Slow": track([11], [7], before=(4 * NS, 5.0, False)),
    }
    times = np.array([10, 11]) * NS
    rows = Rows(times, times, {**tracks, "a/Y": track([], [])})
    found = compile_expression("x + slow", TAGS, NAMES, "test").run(rows)
    assert list(found) == [6.0, 9.0]


def test_one_bad_reading_makes_bad_what_needs_it_and_nothing_else() -> None:
    tracks = {"a/X": track(range(4), X, [0, BAD, 0, 0]), "a/Y": track(range(4), Y)}
    assert same(value("x + y", tracks), [4, NAN, 6, -6])
    assert same(value("x > -100 or y > 0", tracks), [1, NAN, 1, 1])
    assert same(value("not x", tracks), [0, NAN, 0, 0])
    assert same(value("y", tracks), Y)
    assert same(value("mean(x)", tracks), [NAN] * 4)
    assert same(value("mean(x)", tracks, good_part=0.7), [-1.0] * 4)
    assert same(value("rate(x)", tracks), [NAN, NAN, NAN, -12])
    assert same(value("lasting(x < 100, '2 s')", tracks), [0, NAN, 0, 0])


def test_doubt_is_told() -> None:
    times = np.arange(3) * NS
    tracks = {"a/X": track(range(3), [1, 2, 3], [0, UNCERTAIN, 0])}
    rows = Rows(times, times, tracks)
    assert list(rows.uncertain(frozenset({"a/X"}))) == [False, True, False]


def test_what_lasts_goes_over_windows() -> None:
    expression = compile_expression("lasting(x > 0, '3 s')", TAGS, NAMES, "test")
    memory: dict[str, Any] = {}
    found: list[float] = []
    for begin in (0, 2, 4):
        times = np.arange(begin, begin + 2) * NS
        tracks = {"a/X": track([begin, begin + 1], [1, 1])}
        found.extend(expression.run(Rows(times, times, tracks, memory=memory)))
    assert found == [0, 0, 0, 1, 1, 1]
    assert set(memory) == set(expression.keys)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("__import__('os').system('true')", "is not possible here"),
        ("x.__class__", "is not possible here"),
        ("(lambda: 1)()", "is not possible here"),
        ("[y for y in x]", "is not possible here"),
        ("x[0]", "is not possible here"),
        ("f'{x}'", "is not possible here"),
        ("x if (y := 1) else 2", "is not possible here"),
        ("'text'", "is no number"),
        ("1e999 + x", "is no number"),
        ("1j * x", "is no number"),
        ("x @ y", "is not possible here"),
        ("x is y", "is not possible here"),
        ("x << 2", "is not possible here"),
        ("open(x)", "unknown function open"),
        ("eval(x)", "unknown function eval"),
        ("mena(x)", "is mean or"),
        ("z + 1", "unknown name z"),
        ("slwo", "is slow meant?"),
        ('tag("a/Z")', "is a/"),
        ("tag(x)", "must be a name or tag"),
        ("rate(x + y)", "must be a name or tag"),
        ("mean(max(x))", "inside of another"),
        ("mean(lasting(x, '1 s'))", "inside of a function over the window"),
        ("lasting(x, 'soon')", "is no duration"),
        ("abs(x, y)", "takes 1 arguments, not 2"),
        ("abs(*x)", "is not possible here"),
        ("clip(x, low=1, high=2)", "is not possible here"),
        ("1 + 2", "looks at no tag"),
        ("x +", "is no expression"),
        ("x; y", "is no expression"),
        ("x" * 1001, "1000 at most"),
        ("+".join(["x"] * 150), "200 at most"),
        ("-" * 60 + "x", "deeper than 25"),
        ("(" * 400 + "x" + ")" * 400, "is no expression"),
    ],
)
def test_everything_else_is_refused(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        compile_expression(text, TAGS, NAMES, "test")


def test_a_power_tower_costs_nothing() -> None:
    assert same(value("9 ** 9 ** 9 ** 9 + x", BOTH), [NAN] * 4)
