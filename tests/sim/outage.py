"""Days without a cloud: thousands of values a second into a disk that cannot hold them.

The clock is virtual, the disk is the machine's. What the disk holds is several times less than what
the PLC gives, so the journal has to thin and then to drop; in the end every sample is delivered, or
its loss is in the account of the agent and of the server alike.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forebay.files import SystemDisk, SystemFile
from forebay_fleet.audit import verify
from forebay_fleet.store.reader import StoreReader
from sim import curve, verdict
from sim.curve import TimedPlant
from sim.world import run

if TYPE_CHECKING:
    from sim.world import World

COMMIT_S = 5.0
"""Seldom, so that three days pass in minutes; several scans a record, as where polls are fast."""
BYTES_PER_HOUR_AND_TAG = 1_000
"""Of disk; unthinned, this plant takes two to three times as much."""


class UnflushedDisk(SystemDisk):
    """The machine's disk without its slowest call: no power is cut here."""

    def open(
        self, path: Path, *, create: bool = False, write: bool = False, private: bool = False
    ) -> SystemFile:
        """See `Disk.open`."""
        opened = super().open(path, create=create, write=write, private=private)
        opened.__class__ = _UnflushedFile
        return opened

    def sync_dir(self, path: Path) -> None:
        """See `Disk.sync_dir`: nothing."""


class _UnflushedFile(SystemFile):
    def datasync(self) -> None:
        """See `DiskFile.datasync`: nothing."""


def simulate(hours: float, columns: int) -> str:
    """Be without a cloud for `hours`; give the story, with the account as its last line."""
    with tempfile.TemporaryDirectory(prefix="forebay-outage-") as directory:
        script = partial(_script, hours=hours, columns=columns, directory=Path(directory))
        return run(7, ("cloud",), script)


async def _script(world: World, hours: float, columns: int, directory: Path) -> None:
    world.disk, world.journal = UnflushedDisk(), directory / "journal"
    world.commit_s = COMMIT_S
    world.max_bytes = int(hours * columns * BYTES_PER_HOUR_AND_TAG)
    world.segment_bytes = max(columns * 200, world.max_bytes // 100)
    world.plc = plant = TimedPlant(columns, np.random.default_rng(7), world.clock)
    began_s = time.monotonic()
    world.start_agent()
    for hour in range(1, max(1, round(hours)) + 1):
        await asyncio.sleep(hours * 3_600 / max(1, round(hours)))
        world.check_alive()
        (line,) = (await world.ledger()).values()
        world.note(f"hour {hour}: {line}")
    world.servers["cloud"].start()
    world.note(f"the cloud is back; {time.monotonic() - began_s:.0f} s of real time so far")
    await world.drain()
    await world.stop_agent()
    await world.servers["cloud"].crash()
    account = world.last_words["cloud"]
    produced = account["produced"]
    assert isinstance(produced, int)
    # One poll may have been cut off by the stop before it was handed over.
    assert produced % columns == 0
    assert produced >= (world.plc.polls - 1) * columns
    with StoreReader(world.servers["cloud"].directory) as reader:
        verdict.account(reader, account)
        finding = verify(reader)
        assert not finding.problems, finding.problems
        assert finding.duplicate_samples == 0
        compared = curve.check(reader, plant)
        lines = [line for line in reader.lines() if line.stream == curve.TELEMETRY]
        assert sum(line.thinned for line in lines) > 0, "the disk had room: nothing was thinned"
        assert compared.thinned, compared
    world.note(f"{compared}")
    world.note(f"{account}")
