"""Figures of the anomaly plugin on labelled data, through its own `process`, beside baselines.

    python plugins/anomaly/evaluate.py --data PATH

PATH is a folder of runs in SKAB's form (each with 400 normal rows at its begin, from which the
plugin learns) or a file in Shuttle's form (scored by `models/shuttle`). Runs and rows that chose or
trained a model are told by their hash, and figures without them are given apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from forebay_anomaly.benchmarks import (
    NORMAL_ROWS,
    Run,
    figures,
    hotelling,
    hotelling_alarms,
    judge,
    read,
    roc_auc,
    three_sigma,
)
from forebay_plugin.models import Trust, load

PLUGIN = Path(__file__).resolve().parent
SHUTTLE = PLUGIN / "models" / "shuttle"
SHUTTLE_TAGS = [f"f{number}" for number in range(1, 10)]


def known(model: Path) -> set[str]:
    """Hashes of the data that this model has seen."""
    return set(load(model, Trust(allow_unsigned=True)).manifest.training["data_sha256"])


def of_runs(runs: list[Run]) -> None:
    """Print F1, false alarms, missed rows and delay: the plugin, and two baselines."""
    seen = known(PLUGIN / "model")
    judged = {one.name: judge(one, PLUGIN, settings={"learn": NORMAL_ROWS}).alarms for one in runs}
    unseen = [one for one in runs if one.sha256 not in seen]
    for title, some in (("all runs", runs), ("runs that no choice was made on", unseen)):
        labelled = [(one, one.labels) for one in some if one.labels is not None]
        if not labelled:
            continue
        labels = [label for _, label in labelled]
        print(f"{title} ({len(labelled)})")
        for name, alarms in (
            ("anomaly plugin", [judged[one.name] for one, _ in labelled]),
            ("T2 of each row", [hotelling_alarms(one.values) for one, _ in labelled]),
            ("3 sigma a sensor", [three_sigma(one.values) for one, _ in labelled]),
        ):
            print(f"  {name:17} {figures(labels, alarms)}")
    for one in runs:
        mine = judged[one.name]
        if one.labels is None:
            print(f"{one.name}: no labels, alarm in {mine[NORMAL_ROWS:].mean():.1%} of rows")
        elif len(runs) > 1:
            print(f"  {one.name:20} {figures([one.labels], [mine])}")


def of_rows(whole: Run) -> None:
    """Print ROC-AUC: the plugin with the trained forest, and two baselines."""
    assert whole.labels is not None
    half = len(whole.values) // 2 if whole.sha256 in known(SHUTTLE) else 0
    test = whole.rows(slice(half, None))
    assert test.labels is not None
    over = {"model": SHUTTLE, "window": {"rows": 1, "stride": 1}, "settings": {"learn": 0}}
    scored = judge(test, PLUGIN, **over)
    asked = ~np.isnan(scored.scores)
    labels = test.labels[asked]
    print(f"{whole.name}: {asked.sum()} rows that trained nothing, {labels.sum()} anomalous")
    print(f"  anomaly plugin    ROC-AUC {roc_auc(labels, scored.scores[asked]):.4f}")
    print(f"                    {figures([labels], [scored.alarms[asked]])}")
    if half:
        normal = whole.values[:half][~whole.labels[:half]]
        squared = hotelling(test.values, normal)[asked]
        apart = np.abs(test.values - normal.mean(axis=0)) / (normal.std(axis=0) + 1e-9)
        print(f"  T2 of each row    ROC-AUC {roc_auc(labels, squared):.4f}")
        print(f"  largest deviation ROC-AUC {roc_auc(labels, apart.max(axis=1)[asked]):.4f}")


def main() -> None:
    """Evaluate what is given."""
    parser = argparse.ArgumentParser(description="Figures of the anomaly plugin.")
    parser.add_argument("--data", type=Path, required=True, help="folder of runs, or one file")
    runs = read(parser.parse_args().data)
    shuttle = [one for one in runs if list(one.tags) == SHUTTLE_TAGS]
    for one in shuttle:
        of_rows(one)
    rest = [one for one in runs if list(one.tags) != SHUTTLE_TAGS]
    if rest:
        of_runs(rest)


if __name__ == "__main__":
    main()
