"""Fault 13: somebody removes a segment. The start is a normal one, and names what is gone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from forebay.journal.cursor_file import file_text
from forebay.model import GapCause
from support.faults import found, lived
from support.journal_life import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNT = 60


@pytest.mark.parametrize("which", ["first", "middle", "last", "last of an older epoch", "all"])
async def test_fault_13_segment_missing(which: str, tmp_path: Path) -> None:
    assert lived(tmp_path, 1, COUNT) == (0, COUNT)
    before = sorted((tmp_path / "telemetry").glob("*.seg"))
    assert lived(tmp_path, COUNT + 1, COUNT) == (0, 2 * COUNT)
    paths = sorted((tmp_path / "telemetry").glob("*.seg"))
    gone = {
        "first": paths[:1],
        "middle": paths[1:2],
        "last": paths[-1:],
        "last of an older epoch": before[-1:],
        "all": paths,
    }[which]
    for path in gone:
        path.unlink()
    told = None
    for _ in range(2):
        there = await found(tmp_path)
        lost = set(range(1, 2 * COUNT + 1)) - set(there.names)
        assert lost
        assert there.produced == 2 * COUNT * SAMPLES
        assert there.gapped == len(lost) * SAMPLES
        (gap,) = there.gaps
        assert gap.cause is GapCause.CORRUPT
        if which == "all":  # only the tip is left, which knows the newest epoch alone
            assert gap.seq_to - gap.seq_from + 1 == COUNT
        else:
            assert gap.samples == len(lost) * SAMPLES
            assert gap.seq_to - gap.seq_from + 1 == len(lost)
        assert told in (None, there.gaps), "told once"
        told = there.gaps


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _scramble(path: Path) -> None:
    path.write_bytes(random.Random(13).randbytes(path.stat().st_size))


@pytest.mark.parametrize("cursor", ["as it was left", "absent", "empty"])
@pytest.mark.parametrize("lose", [_remove, _empty, _zero, _scramble])
async def test_fault_13_the_oldest_runs_are_gone_whole(
    lose: Callable[[Path], None], cursor: str, tmp_path: Path
) -> None:
    """Nothing has their epochs any more but the totals of the run behind them."""
    runs = 2
    for run in range(runs):
        assert lived(tmp_path, 1 + 5 * run, 5) == (0, 5 + 5 * run)
    gone = sorted((tmp_path / "telemetry").glob("*.seg"))
    assert lived(tmp_path, 5 * runs + 1, COUNT) == (0, 5 * runs + COUNT)
    for path in gone:
        lose(path)
    if cursor == "absent":
        (tmp_path / "cursors" / "cloud.json").unlink(missing_ok=True)
    elif cursor == "empty":
        (tmp_path / "cursors").mkdir(exist_ok=True)
        (tmp_path / "cursors" / "cloud.json").write_bytes(file_text({}))
    told = None
    for _ in range(2):
        there = await found(tmp_path)
        assert there.names == list(range(5 * runs + 1, 5 * runs + COUNT + 1))
        assert there.produced == (5 * runs + COUNT) * SAMPLES
        (gap,) = there.gaps
        assert gap.cause is GapCause.CORRUPT
        assert gap.samples == there.gapped == 5 * runs * SAMPLES
        assert gap.seq_to - gap.seq_from + 1 == 5 * runs
        assert 0 < gap.epoch < min(position.epoch for position in there.records)
        assert told in (None, there.gaps), "told once"
        told = there.gaps


async def test_fault_13_the_oldest_run_and_the_beginning_of_the_next_are_gone(
    tmp_path: Path,
) -> None:
    assert lived(tmp_path, 1, 5) == (0, 5)
    assert lived(tmp_path, 6, COUNT) == (0, 5 + COUNT)
    for path in sorted((tmp_path / "telemetry").glob("*.seg"))[:2]:
        path.unlink()
    told = None
    for _ in range(2):
        there = await found(tmp_path)
        lost = 5 + COUNT - len(there.names)
        assert lost > 5
        assert there.gapped == lost * SAMPLES
        assert sum(gap.samples or 0 for gap in there.gaps) == lost * SAMPLES
        older, begun = there.gaps
        assert (older.seq_from, older.seq_to) == (1, 5)
        assert (begun.seq_from, begun.seq_to) == (1, lost - 5)
        assert told in (None, there.gaps), "told once"
        told = there.gaps
