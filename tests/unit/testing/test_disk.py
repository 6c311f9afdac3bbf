"""The modelled disk promises what POSIX promises, and keeps nothing more."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from forebay.files import Disk, SystemDisk
from forebay.testing.disk import FaultyDisk, PowerCut

HOME = Path("/d")


def made() -> FaultyDisk:
    disk = FaultyDisk()
    disk.makedirs(HOME)
    return disk


def outcomes(disk: FaultyDisk, path: Path) -> set[bytes | None]:
    """Everything that a file can be after a cut, as far as 200 draws show."""
    found: set[bytes | None] = set()
    for seed in range(200):
        after = disk.reboot(random.Random(seed))
        found.add(after.read_bytes(path, 1 << 20) if after.exists(path) else None)
    return found


def test_flushed_bytes_under_a_flushed_name_survive() -> None:
    disk = made()
    file = disk.open(HOME / "f", create=True)
    file.pwrite([b"one", b"two"], 0)
    file.datasync()
    disk.sync_dir(HOME)
    assert outcomes(disk, HOME / "f") == {b"onetwo"}


def test_without_the_directory_the_file_may_be_gone() -> None:
    disk = made()
    file = disk.open(HOME / "f", create=True)
    file.pwrite([b"x"], 0)
    file.datasync()
    assert outcomes(disk, HOME / "f") == {b"x", None}


def test_unflushed_writes_survive_by_sectors_in_any_order() -> None:
    disk = made()
    file = disk.open(HOME / "f", create=True)
    file.pwrite([b"a" * 1536], 0)
    file.datasync()
    disk.sync_dir(HOME)
    file.pwrite([b"b" * 1024], 512)
    old, new = b"a" * 512, b"b" * 512
    assert outcomes(disk, HOME / "f") == {
        old + one + two for one in (old, new) for two in (old, new)
    }


def test_a_head_start_promises_nothing() -> None:
    disk = made()
    file = disk.open(HOME / "f", create=True)
    file.pwrite([b"a" * 512], 0)
    file.datasync()
    disk.sync_dir(HOME)
    file.pwrite([b"b" * 512], 0)
    changes = disk.changes
    file.begin_writing(512, 0)
    assert disk.changes == changes
    assert outcomes(disk, HOME / "f") == {b"a" * 512, b"b" * 512}


def test_a_rename_is_whole_or_not_at_all() -> None:
    disk = made()
    disk.write_atomic(HOME / "f", b"old")
    assert outcomes(disk, HOME / "f") == {b"old"}
    file = disk.open(HOME / "g", create=True)
    file.pwrite([b"new"], 0)
    file.datasync()
    disk.rename(HOME / "g", HOME / "f")
    assert outcomes(disk, HOME / "f") == {b"old", b"new"}
    disk.sync_dir(HOME)
    assert outcomes(disk, HOME / "f") == {b"new"}


def test_names_change_in_order() -> None:
    disk = made()
    disk.write_atomic(HOME / "a", b"a")
    disk.write_atomic(HOME / "b", b"b")
    disk.unlink(HOME / "a")
    disk.unlink(HOME / "b")
    left = {tuple(disk.reboot(random.Random(s)).listdir(HOME)) for s in range(100)}
    assert left == {("a", "b"), ("b",), ()}


def test_a_cut_stops_everything_until_the_reboot() -> None:
    disk = made()
    disk.cut_after(1)
    file = disk.open(HOME / "f", create=True)
    with pytest.raises(PowerCut):
        file.pwrite([b"x"], 0)
    for call in (file.datasync, lambda: disk.listdir(HOME), lambda: file.pread(1, 0)):
        with pytest.raises(PowerCut):
            call()
    assert disk.reboot(random.Random(1)).listdir(HOME) in ([], ["f"])


def test_a_cut_flush_promises_nothing() -> None:
    disk = made()
    file = disk.open(HOME / "f", create=True)
    disk.sync_dir(HOME)
    file.pwrite([b"x"], 0)
    disk.cut_after(0)
    with pytest.raises(PowerCut):
        file.datasync()
    assert outcomes(disk, HOME / "f") == {b"", b"x"}


def test_a_failed_flush_loses_what_a_later_one_cannot_save() -> None:
    disk = made()
    file = disk.open(HOME / "f", create=True)
    disk.sync_dir(HOME)
    file.pwrite([b"x"], 0)
    disk.fail("datasync", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        file.datasync()
    file.datasync()
    assert file.pread(1, 0) == b"x"
    assert outcomes(disk, HOME / "f") == {b""}


def test_failures_hit_the_call_that_was_named() -> None:
    disk = made()
    disk.fail("pwrite", errno.EIO, part="two", after=1)
    one, two = (disk.open(HOME / name, create=True) for name in ("one", "two"))
    for file in (one, one, two):
        file.pwrite([b"x"], 0)
    with pytest.raises(OSError, match="Input/output"):
        two.pwrite([b"x"], 0)
    two.pwrite([b"x"], 0)


def test_it_fills_up() -> None:
    disk = FaultyDisk(capacity_bytes=10)
    disk.makedirs(HOME)
    file = disk.open(HOME / "f", create=True)
    file.allocate(8)
    file.pwrite([b"12345678"], 0)
    with pytest.raises(OSError, match="No space"):
        file.pwrite([b"9"], 10)
    assert disk.free_bytes(HOME) == 2


def test_rot_turns_one_bit() -> None:
    disk = made()
    disk.write_atomic(HOME / "f", b"\x00\x00")
    disk.flip(HOME / "f", 9)
    assert disk.read_bytes(HOME / "f", 9) == b"\x00\x02"
    assert outcomes(disk, HOME / "f") == {b"\x00\x02"}


def test_locks_end_with_their_holder() -> None:
    disk = made()
    lock = disk.lock(HOME / "lock")
    assert lock is not None
    assert disk.lock(HOME / "lock") is None
    lock.close()
    assert disk.lock(HOME / "lock") is not None
    assert disk.reboot(random.Random(1)).lock(HOME / "lock") is not None


@pytest.mark.parametrize("kind", ["model", "system"])
def test_both_disks_behave_alike(kind: str, tmp_path: Path) -> None:
    disk: Disk = FaultyDisk() if kind == "model" else SystemDisk()
    home = tmp_path / "a" / "b"
    disk.makedirs(home)
    disk.makedirs(home)
    file = disk.open(home / "f", create=True)
    with pytest.raises(FileExistsError):
        disk.open(home / "f", create=True)
    with pytest.raises(FileNotFoundError):
        disk.open(home / "missing")
    file.allocate(10)
    assert (file.size(), file.pread(100, 8)) == (10, b"\0\0")
    assert file.pwrite([b"abc", memoryview(b"def")], 2) == 6
    file.begin_writing(6, 2)
    file.allocate(4)
    file.truncate(7)
    file.datasync()
    assert file.pread(100, 0) == b"\0\0abcde"
    disk.rename(home / "f", home / "g")
    disk.write_atomic(home / "h", b"1")
    disk.write_atomic(home / "h", b"22")
    disk.sync_dir(home)
    assert disk.listdir(home) == ["g", "h"]
    assert disk.read_bytes(home / "h", 1) == b"2"
    assert (disk.size(home / "h"), disk.exists(home), disk.exists(home / "f")) == (2, True, False)
    disk.unlink(home / "h")
    with pytest.raises(FileNotFoundError):
        disk.unlink(home / "h")
    assert disk.free_bytes(home) > 0
    file.close()
