"""Fault 13: somebody removes a segment. The start is a normal one, and names what is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.model import GapCause
from support.faults import found, lived
from support.journal_life import SAMPLES

if TYPE_CHECKING:
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
