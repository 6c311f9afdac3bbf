"""The kernel's own count of what a process takes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from forebay.usage import rss_bytes, written_bytes

ON_DISK = Path(__file__).resolve().parents[3]


def test_memory_grows_with_what_is_held() -> None:
    before = rss_bytes()
    held = bytearray(os.urandom(1 << 20) * 32)
    assert rss_bytes() - before > 16 << 20
    assert len(held) == 32 << 20


def test_bytes_that_went_to_the_disk_are_counted_in_whole_pages() -> None:
    before = written_bytes()
    with tempfile.TemporaryFile(dir=ON_DISK) as file:
        file.write(b"x" * 100)
        file.flush()
        os.fdatasync(file.fileno())
        assert written_bytes() - before >= 4096
        file.write(b"x" * (1 << 20))
        file.flush()
        os.fdatasync(file.fileno())
    assert written_bytes() - before >= 1 << 20
