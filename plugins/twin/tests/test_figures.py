"""The commands of the figures run, and a real pump with a closing valve is told more than not."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from forebay_twin import history
from support.datasets import data_set

PLUGIN = Path(__file__).resolve().parents[1]


def test_runs_of_a_real_pump(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate.py", "--data", str(data_set("skab"))]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(PLUGIN / "evaluate.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert float(printed.split("F1 ")[1].split(",")[0]) > 0.6
    assert float(printed.split("alarms ")[1].split("%")[0]) < 20


def test_tables_in_both_forms(tmp_path: Path) -> None:
    comma, semicolon = tmp_path / "a.csv", tmp_path / "b.csv"
    comma.write_text("t,A,B\n10,1,\n5,2,nan\n20,3,4\n", encoding="utf-8")
    semicolon.write_text("t;A\n2024-01-01 00:00:01;1.5\n", encoding="utf-8")
    table = history.read(comma)
    assert table.times_s.tolist() == [5, 10, 20]
    assert table.columns(["A"])[:, 0].tolist() == [2, 1, 3]
    assert table.columns(["B"])[2, 0] == 4
    assert history.read(semicolon).times_s.tolist() == [1_704_067_201]
    with pytest.raises(ValueError, match="no column C"):
        table.columns(["C"])
    comma.write_text("t,A\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no rows"):
        history.read(comma)
