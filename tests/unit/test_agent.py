"""What the agent makes of the configuration before anything runs."""

from __future__ import annotations

import errno
from pathlib import Path

from forebay.agent import UNKNOWN_BYTES, journal_limits
from forebay.config.model import JournalSettings
from forebay.journal.entry import Overflow
from forebay.model import Stream
from forebay.testing.disk import FaultyDisk

DIRECTORY = Path("/journal")


def test_a_journal_takes_60_percent_of_its_file_system_unless_it_is_told() -> None:
    disk = FaultyDisk(capacity_bytes=1_000_000_000)
    limits = journal_limits(JournalSettings(directory=DIRECTORY), disk)
    assert limits.max_bytes == 600_000_000
    assert limits.overflow[Stream.TELEMETRY] is Overflow.THIN
    told = JournalSettings.model_validate({"directory": DIRECTORY, "max_size": "2 GiB"})
    assert journal_limits(told, disk).max_bytes == 2 << 30


def test_a_disk_that_does_not_say_how_large_it_is_is_found_out_by_the_start() -> None:
    disk = FaultyDisk()
    disk.fail("total_bytes", errno.EIO)
    assert journal_limits(JournalSettings(directory=DIRECTORY), disk).max_bytes == UNKNOWN_BYTES
