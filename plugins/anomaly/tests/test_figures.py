"""The figures of README.md hold on runs that nobody chose by, and training gives the same model."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from forebay_anomaly import benchmarks
from forebay_plugin.models import Trust, load
from support.datasets import data_set, shuttle

PLUGIN = Path(__file__).resolve().parents[1]
ANY = Trust(allow_unsigned=True)


def command(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(PLUGIN / script), run_name="__main__")


@pytest.fixture(scope="module")
def unseen() -> list[benchmarks.Run]:
    """The labelled runs of SKAB that chose nothing."""
    seen = set(load(PLUGIN / "model", ANY).manifest.training["data_sha256"])
    runs = benchmarks.read(data_set("skab"))
    return [one for one in runs if one.labels is not None and one.sha256 not in seen]


def test_skab(unseen: list[benchmarks.Run]) -> None:
    labels = [one.labels for one in unseen if one.labels is not None]
    alarms = [benchmarks.judge(one, PLUGIN, settings={"learn": 400}).alarms for one in unseen]
    found = benchmarks.figures(labels, alarms)
    assert found.f1 >= 0.85
    assert found.undetected == 0
    for baseline in (benchmarks.three_sigma, benchmarks.hotelling_alarms):
        plain = benchmarks.figures(labels, [baseline(one.values) for one in unseen])
        assert found.f1 > plain.f1 + 0.05
        assert found.false_alarms < plain.false_alarms


def test_shuttle() -> None:
    (whole,) = benchmarks.read(shuttle())
    test = whole.rows(slice(len(whole.values) // 2, None, 4))
    assert test.labels is not None
    over = {"model": PLUGIN / "models/shuttle", "window": {"rows": 1, "stride": 1}}
    scored = benchmarks.judge(test, PLUGIN, settings={"learn": 0}, **over)
    assert benchmarks.roc_auc(test.labels, scored.scores) >= 0.99


def test_training_gives_the_committed_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures, not bytes: another processor's last digit may differ."""
    shutil.copy(PLUGIN / "plugin.toml", tmp_path)
    data = ["--data", data_set("skab"), "--shuttle", shuttle(), "--out", tmp_path]
    command(monkeypatch, "train.py", *data)
    for name in ("model", "models/shuttle"):
        made, kept = load(tmp_path / name, ANY), load(PLUGIN / name, ANY)
        assert made.manifest.training == kept.manifest.training
        arrays = kept.folder.arrays(kept.manifest.selftest_file)
        given = {key[3:]: value for key, value in arrays.items() if key.startswith("in/")}
        for output, values in made.run(given).items():
            np.testing.assert_allclose(values, arrays[f"out/{output}"], rtol=1e-4, atol=1e-6)


def test_the_command_of_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On any folder of the same form: plain or packed, in folders or not, labelled or not."""
    random = np.random.default_rng(8)
    (tmp_path / "deep").mkdir()
    for name, labelled in (("a", True), ("deep/b", True), ("normal", False)):
        head = "datetime;Flow;Level" + ";anomaly;changepoint" * labelled
        lines = [head]
        for second in range(600):
            wrong = labelled and second >= 500
            values = random.normal(size=2) + (5 if wrong else 0)
            stamp = f"2020-03-09 10:{second // 60:02}:{second % 60:02}"
            end = f";{float(wrong)};0.0" * labelled
            lines.append(f"{stamp};{values[0]};{values[1]}{end}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command(monkeypatch, "evaluate.py", "--data", tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "all runs (2)"
    assert printed[4] == "runs that no choice was made on (2)"
    assert float(printed[1].split("F1 ")[1].split()[0]) > 0.9
    assert any(line.startswith("normal: no labels, alarm in 0.0%") for line in printed)


def test_what_files_of_others_may_lack(tmp_path: Path) -> None:
    text = "datetime;Flow;anomaly\n2020-01-01 00:00:02;1.5;0.0\n2020-01-01 00:00:01;;1.0\n"
    (tmp_path / "run.csv").write_text(text, encoding="utf-8")
    (one,) = benchmarks.read(tmp_path)
    assert np.diff(one.times_ns).tolist() == [1_000_000_000]
    assert np.isnan(one.values[1, 0])
    assert one.labels is not None
    assert one.labels.tolist() == [False, True]
    with pytest.raises(ValueError, match="holds no"):
        benchmarks.read(tmp_path / "nothing")


def test_figures_are_those_of_others() -> None:
    random = np.random.default_rng(6)
    labels = random.random(500) < 0.3
    scores = np.round(labels + random.normal(size=500), 1)  # with ties
    assert benchmarks.roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    found = benchmarks.figures(
        [labels[:200], labels[200:]], [scores[:200] > 0.5, scores[200:] > 0.5]
    )
    assert found.f1 == pytest.approx(f1_score(labels, scores > 0.5))


def test_delay_counts_from_the_begin_of_the_stretch() -> None:
    label = np.array([0, 0, 1, 1, 1, 0, 0], bool)
    alarm = np.array([1, 0, 0, 1, 0, 0, 1], bool)
    late = np.array([0, 0, 0, 0, 0, 1, 1], bool)
    assert benchmarks.figures([label], [alarm]).delay_rows == 1
    assert benchmarks.figures([label], [late]).undetected == 1
