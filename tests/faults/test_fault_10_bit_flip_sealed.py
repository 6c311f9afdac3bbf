"""Fault 10: rot in a sealed segment, on a real disk: one batch is lost, and told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from forebay.model import GapCause
from support.faults import found, lived
from support.journal_life import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

COUNT, FLIPS = 60, 12


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a real file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.chmod(0o640)
    path.write_bytes(content)


def segments(directory: Path) -> dict[Path, bytes]:
    """Give all segments with their content."""
    return {path: path.read_bytes() for path in directory.rglob("*.seg")}


async def test_fault_10_bit_flip_in_a_sealed_segment(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    status, told = lived(tmp_path, 1, COUNT)
    assert (status, told) == (0, COUNT)
    whole = segments(tmp_path)
    assert len(whole) > 3
    for _ in range(FLIPS):
        path = rng.choice(sorted(whole))
        flip(path, rng.randrange(len(whole[path]) * 8))
        for _ in range(2):  # told once, and the second start finds nothing new
            there = await found(tmp_path)
            lost = sorted(set(range(1, COUNT + 1)) - set(there.names))
            assert len(lost) <= 1
            told_of = [(g.cause, g.samples) for g in there.gaps]
            if not lost and path == max(whole):
                # Rot in the newest footer: nobody can say any more that the stop was orderly.
                assert told_of in ([], [(GapCause.UNCLEAN_SHUTDOWN, None)])
            else:
                assert told_of == [(GapCause.CORRUPT, SAMPLES) for _ in lost]
            assert there.produced == COUNT * SAMPLES
            assert there.gapped == len(lost) * SAMPLES
        for other in segments(tmp_path):
            other.unlink()
        (tmp_path / "tip").unlink()
        for other, content in whole.items():
            other.write_bytes(content)
