"""The figures of README.md hold on engines that trained nothing; training repeats itself."""

from __future__ import annotations

import hashlib
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from forebay_wear import cmapss
from support.datasets import data_set

PLUGIN = Path(__file__).resolve().parents[1]


def command(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(PLUGIN / script), run_name="__main__")


def figures(printed: str) -> dict[str, float]:
    lines = [line.split("RMSE") for line in printed.splitlines() if "RMSE" in line]
    return {name.strip(): float(rest.split()[0]) for name, rest in lines}


def test_engines_of_the_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, "evaluate.py", "--data", data_set("cmapss"))
    printed = capsys.readouterr().out
    found = figures(printed)
    assert found["wear plugin"] <= 15
    assert found["wear plugin"] < 0.7 * found["linear regression"]
    assert found["linear regression"] < found["mean of training"]
    assert float(printed.split("holds")[1].split("%")[0]) >= 80


def test_training_gives_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        shutil.copy(PLUGIN / "plugin.toml", tmp_path / name)
        out = ["--out", tmp_path / name, "--engines", 5, "--trees", 20]
        command(monkeypatch, "train.py", "--data", data_set("cmapss"), *out)
        content = (tmp_path / name / "model/model.toml").read_bytes()
        hashes.append(hashlib.sha256(content).hexdigest())
        assert hashes[-1] in (tmp_path / name / "plugin.toml").read_text(encoding="utf-8")
    assert hashes[0] == hashes[1]


def lines(engines: int, cycles: int, *, head: bool) -> str:
    random = np.random.default_rng(3)
    rows = ["unit cycle a b c s1"] if head else []
    for engine in range(1, engines + 1):
        for cycle in range(1, cycles + 1):
            values = " ".join(f"{value:.3f}" for value in random.normal(size=24))
            rows.append(f"{engine} {cycle} {values}  ")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("head", [True, False])
def test_engines_are_paired_by_their_order(tmp_path: Path, *, head: bool) -> None:
    (tmp_path / "test_X_51-53.txt").write_text(lines(3, 31, head=head), encoding="utf-8")
    (tmp_path / "RUL_X_51-53.txt").write_text("RUL\n" * head + "7\n8\n", encoding="utf-8")
    (test,) = cmapss.tests(tmp_path)
    assert [engine.number for engine in test.engines] == [1, 2]
    assert test.truths.tolist() == [7, 8]
    assert "3 engines, 2 truths; 2 are paired" in test.note
    assert test.engines[0].sensors.shape == (31, 21)


def test_a_file_without_truths_is_told(tmp_path: Path) -> None:
    for name in ("test_A.txt", "test_B.txt"):
        (tmp_path / name).write_text(lines(1, 31, head=False), encoding="utf-8")
    (tmp_path / "RUL_B.txt").write_text("7\n", encoding="utf-8")
    first, second = cmapss.tests(tmp_path)
    assert first.note == "test_A.txt: no truths, left out"
    assert len(second.engines) == 1
    with pytest.raises(ValueError, match=r"no file train\*"):
        cmapss.files(tmp_path, "train")


def test_rows_that_are_too_short(tmp_path: Path) -> None:
    (tmp_path / "test_A.txt").write_text("1 1 0 0 0 4\n", encoding="utf-8")
    with pytest.raises(ValueError, match="26 columns"):
        cmapss.read(tmp_path / "test_A.txt")
