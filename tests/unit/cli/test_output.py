"""Numbers, ages and times as a tired person reads them, and messages as a program does."""

from __future__ import annotations

import json
import math
import time

import pytest
from rich.text import Text

from forebay._proto import control_pb2 as pb
from forebay.cli import call, output
from forebay.errors import RequestInvalid

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1.0, "0.0 s"),
        (0.04, "0.0 s"),
        (3.21, "3.2 s"),
        (59.9, "59.9 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (86_400 * 3 + 3_600 * 4 + 59, "3 d 4 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    assert output.duration(seconds) == said


@pytest.mark.parametrize(
    ("time_ns", "said"),
    [
        (0, "never"),
        (1_000 * SECOND, "0.0 s ago"),
        (1_000 * SECOND - 3_200_000_000, "3.2 s ago"),
        (1_000 * SECOND + 500_000_000, "0.0 s ago"),
        (1_090 * SECOND, "in 1 min 30 s"),
    ],
)
def test_age(time_ns: int, said: str) -> None:
    assert output.age(time_ns, 1_000 * SECOND) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_536, "1.5 KiB"),
        (150 << 20, "150 MiB"),
        (10 << 30, "10 GiB"),
        (1_010 << 10, "1010 KiB"),
        (3 << 50, "3072 TiB"),
    ],
)
def test_size(amount: int, said: str) -> None:
    assert output.size(amount) == said


def test_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert output.moment(1_795_000_000_123_999_999) == "2026-11-18 13:06:40.123"
        assert output.moment(0) == "-"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_json_has_every_field_by_its_name() -> None:
    data = output.plain(pb.TagsReply(tags=[pb.TagValue(name="t", uint_value=(1 << 64) - 1)]))
    assert data["matched"] == 0
    assert data["tags"][0]["value"] == (1 << 64) - 1
    assert data["tags"][0]["device"] == ""
    assert output.plain(pb.ReadReply(unknown=["a", "b"]))["unknown"] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (1.5, 1.5)],
)
def test_json_without_nan(value: float, said: object, capsys: pytest.CaptureFixture[str]) -> None:
    output.document(output.plain(pb.TagValue(double_value=value)))
    assert json.loads(capsys.readouterr().out)["value"] == said


def test_a_table_keeps_numbers_whole_and_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output.show([output.table(("NAME", ">COUNT"), [("x" * 60, "1234567890123456")])])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 40
    assert out.count("x") == 60
    assert "1234567890123456" in out


def test_a_device_cannot_paint_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;pwned\x07[red]"
    output.show([output.table(("A",), [(evil,)]), output.fault("d", evil, evil)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert out.count("[red]") == 3


def test_a_hint_of_several_lines_keeps_them(capsys: pytest.CaptureFixture[str]) -> None:
    error = RequestInvalid("it does not start", hint="mend it; it printed:\nKey\x1b[31mError")
    call.fail(error, as_json=False)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "forebay: it does not start",
        "  next: mend it; it printed:",
        "        Key\N{REPLACEMENT CHARACTER}[31mError",
    ]


def test_colours_are_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.show([Text("bad", output.BAD)])
    assert capsys.readouterr().out == "bad\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    output.show([Text("bad", output.BAD)])
    assert "\x1b[" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    output.show([Text("bad", output.BAD)])
    assert "31m" not in capsys.readouterr().out
