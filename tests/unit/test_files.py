"""The machine's file system behind the disk seam.

What it flushes, and in which order, is in `tests/faults/test_fault_03_order_of_flushes.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from forebay.files import SystemDisk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PIECES = [b"head", b"0123456789", b"", b"tail"]


@pytest.mark.parametrize("taken", [0, 1, 4, 7, 17])
def test_a_write_that_the_kernel_takes_in_part_is_finished(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where a disk is nearly full, and from 2 GiB on (write(2))."""

    def part(fd: int, data: Sequence[bytes], offset: int) -> int:
        return os.pwrite(fd, b"".join(data)[:taken], offset)

    file = SystemDisk().open(tmp_path / "f", create=True)
    file.pwrite([b"before"], 0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", part)
        assert file.pwrite(PIECES, 6) == sum(map(len, PIECES))
    assert file.pread(100, 0) == b"before" + b"".join(PIECES)
    file.close()


def test_a_path_that_is_still_to_be_made_has_the_file_system_that_it_would_be_on(
    tmp_path: Path,
) -> None:
    disk, missing = SystemDisk(), tmp_path / "no" / "where"
    there = os.statvfs(tmp_path)
    assert disk.total_bytes(missing) == there.f_blocks * there.f_frsize
    assert 0 < disk.free_bytes(missing) <= disk.total_bytes(missing)
