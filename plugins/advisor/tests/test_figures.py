"""The command of the figures runs on a real pump; nobody set anything, so nothing is advised."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support.datasets import data_set

if TYPE_CHECKING:
    import pytest

PLUGIN = Path(__file__).resolve().parents[1]


def test_energy_of_a_real_pump(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--data", str(data_set("skab"))])
    runpy.run_path(str(PLUGIN / "evaluate.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert 0.06 < float(printed.split("minutes, ")[1].split()[0]) < 0.09
    assert printed.endswith("advice 0\n")
