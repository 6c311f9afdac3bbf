"""Lives of engines in the form of NASA's C-MAPSS: reading them, and the plugin's answers on them.

Text, plain or gzipped, one row a cycle: engine, cycle, three settings, 21 sensors, called s1 to
s21; a line of names at its begin is passed over (A. Saxena, K. Goebel, D. Simon, N. Eklund, Damage
Propagation Modeling, PHM 2008). What trains and what evaluates reads them here; the serving plugin
does not.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forebay_plugin.testing import Frame, Samples, run
from forebay_wear.plugin import Wear

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay_wear.features import Numbers

SENSORS = [f"s{number}" for number in range(1, 22)]
MOST = 125.0
"""A life over this counts as this, as in the literature: a sound engine shows no age."""


@dataclass(frozen=True)
class Engine:
    """One engine: its number in the file, (cycles) counter, (cycles, 21) sensors."""

    number: int
    cycles: Numbers
    sensors: Numbers


@dataclass(frozen=True)
class Test:
    """Engines that were cut off, with the cycles that each had left.

    `note` tells what of the files has no other half.
    """

    name: str
    engines: Sequence[Engine]
    truths: Numbers
    note: str = ""


def files(folder: Path, begin: str) -> list[Path]:
    """The files of a folder whose names begin so, by name.

    Raises:
        ValueError: there is none.
    """
    found = sorted(path for path in folder.iterdir() if path.name.lower().startswith(begin.lower()))
    if not found:
        raise ValueError(f"{folder} has no file {begin}*")
    return found


def read(path: Path) -> list[Engine]:
    """Read engines in the order in which they first stand in the file.

    Raises:
        ValueError: rows are no numbers, or have fewer columns than the form asks for.
    """
    held = _rows(path)
    if not held or min(map(len, held)) < 5 + len(SENSORS):
        raise ValueError(f"{path.name}: not every row has {5 + len(SENSORS)} columns")
    rows = np.array([row[: 5 + len(SENSORS)] for row in held], np.float64)
    engines = []
    for number in dict.fromkeys(rows[:, 0].tolist()):
        mine = rows[rows[:, 0] == number]
        mine = mine[np.argsort(mine[:, 1], kind="stable")]
        engines.append(Engine(int(number), mine[:, 1], mine[:, 5:]))
    return engines


def tests(folder: Path) -> list[Test]:
    """Pair each file test* with its RUL*, engine by engine in their order.

    What has no other half is left out, and `note` tells it.
    """
    found, truths = files(folder, "test"), files(folder, "RUL")
    by_end = {_end(path): path for path in truths}
    paired = []
    for path in found:
        other = by_end.get(_end(path)) or (truths[0] if len(found) == len(truths) == 1 else None)
        if other is None:
            paired.append(Test(path.name, [], np.empty(0), f"{path.name}: no truths, left out"))
            continue
        engines = read(path)
        left = np.array([row[0] for row in _rows(other)], np.float64)
        count = min(len(engines), len(left))
        note = ""
        if len(engines) != len(left):
            note = f"{path.name}: {len(engines)} engines, {len(left)} truths; {count} are paired"
        paired.append(Test(path.name, engines[:count], left[:count], note))
    return paired


def judge(engine: Engine, plugin: Path, names: Sequence[str] = SENSORS) -> dict[str, Samples]:
    """Let the plugin in the directory `plugin` follow an engine; outputs by name."""
    columns = {f"engine/{name}": engine.sensors[:, SENSORS.index(name)] for name in names}
    frame = Frame.sampled({**columns, "engine/cycle": engine.cycles}, rate_hz=1 / 60)
    ran = run(Wear, plugin, [frame])
    if ran.failures:
        raise ValueError(f"engine {engine.number}: {ran.failures[0][1]}")
    return dict(ran.outputs)


def _rows(path: Path) -> list[list[str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return rows[1:] if rows and not _is_number(rows[0][0]) else rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _end(path: Path) -> str:
    return path.name.removesuffix(".gz").split("_", 1)[-1].lower()
