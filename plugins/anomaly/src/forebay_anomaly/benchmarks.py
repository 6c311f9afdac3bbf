"""Labelled data for the anomaly plugin: reading the files, the plugin's alarms, the figures.

Two forms of CSV, plain or gzipped: the Skoltech Anomaly Benchmark's (`;`, columns `datetime`,
`anomaly`, `changepoint`, one run a file) and Shuttle's (`,`, columns f1 to f9 and `anomaly`). What
trains and what evaluates reads them here; the serving plugin does not.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_anomaly.plugin import Anomaly
from forebay_plugin.testing import Frame, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]

NORMAL_ROWS = 400
"""Of each run of the benchmark, so many rows at its begin are known to be normal."""
LABEL, CHANGE, TIME = "anomaly", "changepoint", "datetime"


@dataclass(frozen=True)
class Run:
    """One recording.

    Attributes:
        name: of its file, without endings.
        sha256: of its contents, unpacked.
        tags: names of the columns.
        times_ns: (rows); by the second from 2020 on where the file has none that ascend.
        values: (rows, tags), NaN where a cell is empty.
        labels: (rows) whether the machine was not as it should be; None where nobody said.
    """

    name: str
    sha256: str
    tags: Sequence[str]
    times_ns: npt.NDArray[np.int64]
    values: Numbers
    labels: Flags | None

    def rows(self, some: slice) -> Run:
        """The same recording, of these rows only."""
        labels = None if self.labels is None else self.labels[some]
        return Run(
            self.name, self.sha256, self.tags, self.times_ns[some], self.values[some], labels
        )


@dataclass(frozen=True)
class Scored:
    """What the plugin said of each row of a run: (rows) score, NaN without one, and alarm."""

    scores: Numbers
    alarms: Flags


@dataclass(frozen=True)
class Figures:
    """Point by point over all rows of all runs, as the benchmark counts.

    Attributes:
        f1: of alarms against labels.
        false_alarms: part of normal rows with an alarm.
        missed: part of anomalous rows without one.
        delay_rows: median over runs of the rows from the first anomalous one to the first alarm in
            that stretch; runs without an alarm count as infinite.
        undetected: runs without an alarm in the stretch.
    """

    f1: float
    false_alarms: float
    missed: float
    delay_rows: float
    undetected: int

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.3f}  false alarms {self.false_alarms:6.1%}  missed {self.missed:6.1%}"
            f"  median delay {self.delay_rows:5.1f} rows  runs undetected {self.undetected}"
        )


def read(path: Path) -> list[Run]:
    """Read a file, or every `.csv` and `.csv.gz` below a folder, in the order of their paths.

    Raises:
        ValueError: there is none, or one has no rows of numbers.
    """
    paths = [path] if path.is_file() else sorted([*path.rglob("*.csv"), *path.rglob("*.csv.gz")])
    if not paths:
        raise ValueError(f"{path} holds no .csv and no .csv.gz")
    return [_read(one, path) for one in paths]


def judge(one: Run, plugin: Path, **over: Any) -> Scored:  # noqa: ANN401 - what `run` takes
    """Let the plugin in the directory `plugin` work on a run, with a state of its own."""
    columns = {f"line/{tag}": one.values[:, index] for index, tag in enumerate(one.tags)}
    ran = run(
        Anomaly, plugin, [Frame(one.times_ns, columns)], inputs={"values": ["line/*"]}, **over
    )
    if ran.failures:
        raise ValueError(f"{one.name}: {ran.failures[0][1]}")
    scores = np.full(len(one.times_ns), np.nan)
    alarms = np.zeros(len(one.times_ns), bool)
    for name, into in (("score", scores), ("alarm", alarms)):
        samples = ran[name]
        into[np.searchsorted(one.times_ns, samples.times_ns)] = samples.values
    return Scored(scores, alarms)


def figures(labels: Sequence[Flags], alarms: Sequence[Flags]) -> Figures:
    """Count alarms against labels, run by run."""
    said, true = np.concatenate(list(alarms)), np.concatenate(list(labels))
    hits, wrong = int((said & true).sum()), int((said & ~true).sum())
    missed = int((~said & true).sum())
    delays = [
        _delay(label, alarm) for label, alarm in zip(labels, alarms, strict=True) if label.any()
    ]
    return Figures(
        f1=2 * hits / max(2 * hits + wrong + missed, 1),
        false_alarms=wrong / max(int((~true).sum()), 1),
        missed=missed / max(int(true.sum()), 1),
        delay_rows=float(np.median(delays)) if delays else float("nan"),
        undetected=sum(np.isinf(delays)),
    )


def three_sigma(values: Numbers) -> Flags:
    """(rows) alarm wherever one column is over three deviations off its mean of the first rows."""
    normal = values[:NORMAL_ROWS]
    apart = np.abs(values - normal.mean(axis=0)) / (normal.std(axis=0) + 1e-9)
    alarms: Flags = apart.max(axis=1) > 3
    return alarms


def hotelling(values: Numbers, normal: Numbers) -> Numbers:
    """(rows) T² of each row against the rows `normal`."""
    apart = values - normal.mean(axis=0)
    inverse = np.linalg.pinv(np.cov(normal.T))
    squared: Numbers = np.einsum("ij,jk,ik->i", apart, inverse, apart)
    return squared


def hotelling_alarms(values: Numbers) -> Flags:
    """(rows) alarm wherever T² is over its 99 % quantile among the first rows."""
    squared = hotelling(values, values[:NORMAL_ROWS])
    alarms: Flags = squared > np.quantile(squared[:NORMAL_ROWS], 0.99)
    return alarms


def roc_auc(labels: Flags, scores: Numbers) -> float:
    """Area under the curve of true over false positives: Mann-Whitney's U, ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive, negative = int(labels.sum()), int((~labels).sum())
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _delay(label: Flags, alarm: Flags) -> float:
    first = int(np.argmax(label))
    end = first + int(np.argmin(label[first:])) if not label[first:].all() else len(label)
    found = np.flatnonzero(alarm[first:end])
    return float(found[0]) if len(found) else float("inf")


def _read(path: Path, root: Path) -> Run:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    text = content.decode()
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in text[:400] else ","))
    head, body = rows[0], rows[1:]
    tags = [name for name in head if name not in {LABEL, CHANGE, TIME}]
    if not tags or not body:
        raise ValueError(f"{path} holds no rows of numbers")
    columns: Mapping[str, Sequence[str]] = dict(zip(head, zip(*body, strict=True), strict=True))
    cells = [[cell or "nan" for cell in columns[name]] for name in tags]
    values = np.array(cells, np.float64).T
    labels = np.array(columns[LABEL], np.float64) > 0 if LABEL in columns else None
    name = path.name if path == root else str(path.relative_to(root))
    return Run(
        name.removesuffix(".gz").removesuffix(".csv"),
        hashlib.sha256(content).hexdigest(),
        tags,
        _times(columns.get(TIME), len(body)),
        values,
        labels,
    )


def _times(texts: Sequence[str] | None, rows: int) -> npt.NDArray[np.int64]:
    if texts is not None:
        seconds = [datetime.fromisoformat(one).replace(tzinfo=UTC).timestamp() for one in texts]
        times = (np.array(seconds) * 1e3).round().astype(np.int64) * 1_000_000
        if (np.diff(times) > 0).all():
            return times
    begin = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    return (begin + np.arange(rows, dtype=np.int64)) * 1_000_000_000
