"""Fault 11: rot in the segment that was being written. Cut short, it looks as if it ended there.

The tip file knows better: what it has seen durable is named, and its number is never used again.
"""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from forebay.files import SystemDisk
from forebay.journal.record import record_bytes
from forebay.journal.segment import HEADER_BYTES
from forebay.journal.tip import TipFile
from forebay.model import GapCause, Stream
from support.faults import found, python

if TYPE_CHECKING:
    from pathlib import Path

RECORD = record_bytes(900)
PACE_S = 0.4
"""Slow enough that the tip, written each second, sees the first segment while it is written."""


def killed(directory: Path) -> int:
    """Run a writer until the tip has seen some of its records; kill it; give the tip's seq."""
    command, environment = python("support.journal_writer", directory, 1, PACE_S)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        seq = 0
        while seq < 3:
            process.stdout.readline()
            tips = TipFile(directory, SystemDisk()).load()
            tip = tips.streams.get(Stream.TELEMETRY) if tips else None
            seq = tip.seq if tip else 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    return seq


@pytest.mark.parametrize("rot", ["a bit", "the end"])
async def test_fault_11_bit_flip_in_the_active_segment(rot: str, tmp_path: Path) -> None:
    tip = killed(tmp_path)
    (path,) = (tmp_path / "telemetry").glob("*.seg")
    content = bytearray(path.read_bytes())
    last = HEADER_BYTES + (tip - 1) * RECORD
    assert content[last : last + 4] == b"FbR2"
    if rot == "a bit":
        content[last + 40] ^= 1
    else:
        content[last:] = bytes(len(content) - last)
    path.write_bytes(content)
    for _ in range(2):
        there = await found(tmp_path)
        named = [g for g in there.gaps if g.journaled]
        assert [(g.cause, g.seq_from) for g in named] == [(GapCause.CORRUPT, tip)]
        lost = named[0].seq_to - tip + 1
        assert named[0].samples == lost, "one sample a record"
        assert there.produced == len(there.names) + lost
        rotten = there.delivered - (len(there.names) - there.pending)
        assert there.gapped == lost - rotten, "what was delivered before it rotted stays so"
        old = [p for p in there.records if p.epoch == named[0].epoch]
        assert not [p for p in old if named[0].seq_from <= p.seq <= named[0].seq_to]
        fresh = [g for g in there.gaps if g.cause is GapCause.UNCLEAN_SHUTDOWN]
        assert len(fresh) == 1
