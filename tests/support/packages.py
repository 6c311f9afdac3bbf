"""Artifacts of a fleet: two keys, a repository, what is published; and a box without any."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from forebay_fleet.artifacts import keys
from forebay_fleet.artifacts.published import Published
from forebay_fleet.artifacts.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay._proto import fleet_pb2 as pb
    from forebay.identity import Identity
    from forebay.management import packages

YEAR_S = 365 * 86_400.0
DAY_S = 86_400.0


class NoPackages:
    """For states that need nothing beside their files."""

    async def ready(
        self, state: pb.DesiredState, identity: Identity, source: packages.Source, now_ns: int
    ) -> None:
        """See `Packages.ready`."""
        assert not state.packages


class Signers:
    """Two people, and the repository that both must sign."""

    def __init__(self, folder: Path, data: Path, valid_s: float = YEAR_S) -> None:
        self.folder, self.published = folder, Published(data)
        folder.mkdir(exist_ok=True)
        self.people = [folder / name for name in ("ann.pem", "bob.pem")]
        for path in self.people:
            keys.make(path, None)
        self.repository = Repository(folder / "repository")
        public = [keys.public(path.with_name(path.name + ".pub")) for path in self.people]
        self.repository.init(public, self.published.online(), 2, valid_s)

    def sign(self, count: int = 2) -> None:
        """Have so many of them sign what there is."""
        for path in self.people[:count]:
            self.repository.sign(keys.signer(path, None))

    def add(self, archive: Path, type_: str, name: str, version: str) -> None:
        """Add, sign and publish an archive."""
        self.repository.add(archive, type_, name, version, YEAR_S)
        self.sign()
        self.published.publish(self.repository)


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a .tar.gz of plain files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(data))
    return path


def folder_archive(path: Path, folder: Path) -> Path:
    """Write a .tar.gz of a folder's files."""
    found = {
        str(one.relative_to(folder)): one.read_bytes()
        for one in sorted(folder.rglob("*"))
        if one.is_file() and "__pycache__" not in one.parts and ".venv" not in one.parts
    }
    return archive(path, found)
