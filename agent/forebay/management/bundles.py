"""A bundle: the file in which a person carries to this box what its server wants of it.

Owns its layout (docs/reference/fleet-protocol.md, By hand) and what one may hold. It is read in
place: nothing in it names a path of this machine. Must not know whom to believe (`offers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from forebay._proto import fleet_pb2
from forebay.errors import FleetRefused, FleetUnavailable, RequestInvalid
from forebay.management.offers import MAX_STATE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay.files import Disk, DiskFile

MAX_BYTES = 2 << 30
MAX_ENTRIES = 8_192
MAX_ENVELOPE_BYTES = 16 << 10
STATE = "state"
_NAME = re.compile(r"state|(?:contents|targets)/[0-9a-f]{64}|metadata/[A-Za-z0-9._-]{1,96}")
_BLOCK = tarfile.BLOCKSIZE
_COPY_BYTES = 1 << 20


class Place(NamedTuple):
    """Where an entry's bytes are in the file."""

    offset: int
    size: int


class Bundle:
    """What a bundle holds: contents, targets and metadata, as `fetching.Fetching` gives them."""

    def __init__(self, disk: Disk, path: Path, places: Mapping[str, Place]) -> None:
        """Use what `read` found."""
        self._disk, self._path, self._places = disk, path, places

    def state(self) -> fleet_pb2.Signed:
        """Give the state that it carries, believed by nobody yet. RequestInvalid if it is none."""
        try:
            return fleet_pb2.Signed.FromString(self._at(self._places[STATE]))
        except (DecodeError, KeyError):
            raise _no("it carries no desired state") from None

    async def content(self, sha256: bytes, size_bytes: int) -> bytes:
        """Give a content, or a target that is small. FleetRefused if it is not in the bundle."""
        place = self._place(sha256, size_bytes)
        data = await asyncio.to_thread(self._at, place)
        if hashlib.sha256(data).digest() != sha256:
            raise _lacks(sha256.hex()[:12])
        return data

    async def to_file(self, sha256: bytes, size_bytes: int, path: Path) -> None:
        """Bring a target to `path`, durably; its folder must be there. FleetRefused as `content`.

        Raises FleetUnavailable if the disk refuses it.
        """
        place = self._place(sha256, size_bytes)
        try:
            whole = await asyncio.to_thread(self._copied, place, sha256, path)
        except OSError as error:
            raise FleetUnavailable(f"{path}: {error.strerror}", hint="check the disk") from error
        if not whole:
            raise _lacks(sha256.hex()[:12])

    async def metadata(self, name: str, max_bytes: int) -> bytes:
        """Give a file of the TUF repository by its name. FleetRefused if there is none so small."""
        place = self._places.get(f"metadata/{name}")
        if place is None or place.size > max_bytes:
            raise _lacks(name)
        return await asyncio.to_thread(self._at, place)

    def _place(self, sha256: bytes, size_bytes: int) -> Place:
        for folder in ("contents", "targets"):
            place = self._places.get(f"{folder}/{sha256.hex()}")
            if place is not None and place.size == size_bytes:
                return place
        raise _lacks(sha256.hex()[:12])

    def _copied(self, place: Place, sha256: bytes, path: Path) -> bool:
        """Copy an entry under another name, and give it its own if it is what it should be."""
        disk, part, digest = self._disk, path.with_name(f"{path.name}.new"), hashlib.sha256()
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(part)
        source, target = disk.open(self._path), disk.open(part, create=True, private=True)
        try:
            for at in range(0, place.size, _COPY_BYTES):
                data = source.pread(min(_COPY_BYTES, place.size - at), place.offset + at)
                digest.update(data)
                target.pwrite([data], at)
            target.datasync()
        except OSError:
            with contextlib.suppress(OSError):
                disk.unlink(part)  # a full disk has other things to take
            raise
        finally:
            source.close()
            target.close()
        if digest.digest() != sha256:
            disk.unlink(part)
            return False
        disk.rename(part, path)
        disk.sync_dir(path.parent)
        return True

    def _at(self, place: Place) -> bytes:
        file = self._disk.open(self._path)
        try:
            return file.pread(place.size, place.offset)
        finally:
            file.close()


def read(disk: Disk, path: Path) -> Bundle:
    """Find what is in a bundle. Blocks. RequestInvalid if it is none; OSError."""
    file = disk.open(path)
    try:
        return Bundle(disk, path, _places(file))
    finally:
        file.close()


def _places(file: DiskFile) -> dict[str, Place]:
    """Walk the headers of a tar of plain files: nothing else is in one that a server made."""
    found: dict[str, Place] = {}
    offset, end = 0, file.size()
    while offset < end:
        block = file.pread(_BLOCK, offset)
        if not block.strip(b"\0") and len(block) == _BLOCK:
            break
        try:
            entry = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
            raise _no("it is no bundle, or not all of it") from None
        offset += _BLOCK
        most = MAX_STATE_BYTES + MAX_ENVELOPE_BYTES if entry.name == STATE else MAX_BYTES
        if (
            entry.type != tarfile.REGTYPE
            or not _NAME.fullmatch(entry.name)
            or entry.name in found
            or not 0 <= entry.size <= most
        ):
            raise _no("it holds what no bundle does")
        if offset + entry.size > end or len(found) >= MAX_ENTRIES:
            raise _no("it is cut off, or holds too much")
        found[entry.name] = Place(offset, entry.size)
        offset += -(-entry.size // _BLOCK) * _BLOCK
    if STATE not in found:
        raise _no("it carries no desired state")
    return found


def _lacks(what: str) -> FleetRefused:
    return FleetRefused(
        f"the bundle lacks what its state names: {what}",
        hint="make the bundle again: forebay-fleet usb make",
        code="unknown",
    )


def _no(message: str) -> RequestInvalid:
    return RequestInvalid(message, hint="make the bundle again: forebay-fleet usb make")
