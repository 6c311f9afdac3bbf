"""What is in a bundle, given as the server's line gives it."""

from __future__ import annotations

import errno
import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from forebay.errors import FleetRefused, FleetUnavailable, RequestInvalid
from forebay.files import SystemDisk
from forebay.management import bundles
from forebay.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from pathlib import Path

SMALL, LARGE = b"tags", bytes(range(256)) * 10_000


def named(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def written(path: Path, entries: dict[str, bytes]) -> bundles.Bundle:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return bundles.read(SystemDisk(), path)


@pytest.fixture
def bundle(tmp_path: Path) -> bundles.Bundle:
    entries = {
        "state": b"",
        f"contents/{named(SMALL)}": SMALL,
        f"targets/{named(LARGE)}": LARGE,
        f"targets/{named(b'other')}": b"OTHER",
        "metadata/timestamp.json": b"{}",
    }
    return written(tmp_path / "a.bundle", entries)


async def test_contents_targets_and_metadata_come_as_they_are(
    bundle: bundles.Bundle, tmp_path: Path
) -> None:
    digest = hashlib.sha256(SMALL).digest()
    assert await bundle.content(digest, len(SMALL)) == SMALL
    target = tmp_path / "target"
    await bundle.to_file(hashlib.sha256(LARGE).digest(), len(LARGE), target)
    assert target.read_bytes() == LARGE
    assert await bundle.metadata("timestamp.json", 10) == b"{}"


async def test_what_is_not_there_or_another_is_refused(
    bundle: bundles.Bundle, tmp_path: Path
) -> None:
    target, other = tmp_path / "target", hashlib.sha256(b"other").digest()
    for wrong in (
        bundle.content(bytes(32), 4),
        bundle.content(hashlib.sha256(SMALL).digest(), len(SMALL) + 1),
        bundle.content(other, 5),
        bundle.to_file(other, 5, target),
        bundle.metadata("root.json", 10),
        bundle.metadata("timestamp.json", 1),
    ):
        with pytest.raises(FleetRefused):
            await wrong
    assert SystemDisk().files(tmp_path) == ["a.bundle"]
    digest = hashlib.sha256(LARGE).digest()
    with pytest.raises(FleetUnavailable):
        await bundle.to_file(digest, len(LARGE), tmp_path / "none" / "target")


async def test_a_disk_that_is_full_keeps_nothing_of_a_target(tmp_path: Path) -> None:
    disk, path = FaultyDisk(), tmp_path / "a.bundle"
    written(path, {"state": b"", f"targets/{named(LARGE)}": LARGE})
    disk.makedirs(tmp_path)
    disk.write_atomic(path, path.read_bytes())
    found = bundles.read(disk, path)
    disk.fail("pwrite", errno.ENOSPC, part="target", after=1)
    with pytest.raises(FleetUnavailable, match="space"):
        await found.to_file(hashlib.sha256(LARGE).digest(), len(LARGE), tmp_path / "target")
    assert disk.listdir(tmp_path) == ["a.bundle"]


def test_twice_the_same_name_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "twice.bundle"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("state"))
    with pytest.raises(RequestInvalid):
        bundles.read(SystemDisk(), path)
