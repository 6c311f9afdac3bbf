"""Files that boxes deliver because a command asked for them: DATA/bundles/GATEWAY/ID.tar.gz.

Owns that folder, and how much may come and stay. Must not know gRPC, nor what is in a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import structlog

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import StoreFailed
from forebay_fleet.identity.refused import Refused, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from forebay_fleet.registry import Registry

FOLDER, SUFFIX, PART = "bundles", ".tar.gz", ".part"
MAX_BYTES, MAX_DATA_BYTES = 64 << 20, 256 << 10
MAX_KEPT = 8
"""Files of one gateway; the oldest goes."""
MAX_FOLDER_BYTES = 2 << 30
"""Of all gateways; the oldest go."""
MAX_AT_ONCE = 8
SILENCE_S = 60.0
_ID = re.compile(r"[A-Za-z0-9-]{16,64}")

_log = structlog.get_logger()


class Wanted(NamedTuple):
    """What a gateway says that it brings."""

    gateway: str
    command_id: str
    sha256: bytes
    size_bytes: int


def wanted(gateway: str, first: fleet_pb2.DeliverRequest) -> Wanted:
    """Read the first message of a delivery. Raises Refused for one that cannot be."""
    if not _ID.fullmatch(first.command_id) or len(first.sha256) != hashlib.sha256().digest_size:
        raise invalid("it names no command, or no hash")
    if not 0 < first.size_bytes <= MAX_BYTES:
        raise invalid(f"a file has 1 to {MAX_BYTES} bytes")
    return Wanted(gateway, first.command_id, first.sha256, first.size_bytes)


def asked(registry: Registry, what: Wanted, now_ns: int) -> bool:
    """Whether a bundle of this gateway was asked for, and its time is not over."""
    rows = registry.rows(
        "SELECT signed FROM commands WHERE id = ? AND gateway = ? AND not_after_ns > ?",
        (what.command_id, what.gateway, now_ns),
    )
    if not rows:
        return False
    signed = fleet_pb2.Signed.FromString(rows[0][0])
    return fleet_pb2.Command.FromString(signed.payload).HasField("bundle")


def place(data: Path, gateway: str, command_id: str) -> Path:
    """Give where the file of a command is."""
    return data / FOLDER / gateway / f"{command_id}{SUFFIX}"


class Bundles:
    """Of one server."""

    def __init__(self, data: Path) -> None:
        """Keep files below `data`."""
        self._data = data
        self._open = Counter[str]()

    async def keep(
        self,
        what: Wanted,
        first: fleet_pb2.DeliverRequest,
        rest: AsyncIterator[fleet_pb2.DeliverRequest],
    ) -> None:
        """Take a file whose command `asked` has found. It is durable when this returns.

        Raises:
            Refused: too many come at once, it stands still, or it is not what was announced.
            StoreFailed: the disk refuses it.
        """
        path = place(self._data, what.gateway, what.command_id)
        with self._turn(what.gateway):
            try:
                with await asyncio.to_thread(_opened, path) as file:
                    await _take(what, first, rest, file)
                    await asyncio.to_thread(_flush, file)
                await asyncio.to_thread(_finish, path)
                await asyncio.to_thread(_tidy, self._data / FOLDER, path)
            except OSError as error:
                raise StoreFailed(
                    f"a bundle cannot be kept: {error.strerror}", hint="check the disk"
                ) from error
            finally:
                path.with_name(path.name + PART).unlink(missing_ok=True)
        _log.info("bundle_kept", gateway=what.gateway, command=what.command_id, path=str(path))

    @contextmanager
    def _turn(self, gateway: str) -> Iterator[None]:
        if self._open[gateway] or self._open.total() >= MAX_AT_ONCE:
            raise Refused(
                "busy", "UNAVAILABLE", "others deliver right now", hint="it is sent again"
            )
        self._open[gateway] += 1
        try:
            yield
        finally:
            del self._open[gateway]


async def _take(
    what: Wanted,
    message: fleet_pb2.DeliverRequest,
    rest: AsyncIterator[fleet_pb2.DeliverRequest],
    file: BinaryIO,
) -> None:
    """Write what comes, no byte more than was announced, and compare its hash."""
    digest, size = hashlib.sha256(), 0
    while True:
        size += len(message.data)
        if size > what.size_bytes or len(message.data) > MAX_DATA_BYTES:
            raise invalid("it is larger than announced, or comes in parts of more than 256 KiB")
        digest.update(message.data)
        await asyncio.to_thread(file.write, message.data)
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await anext(rest)
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise Refused(
                "silence", "DEADLINE_EXCEEDED", "nothing came for a minute", hint="send it again"
            ) from None
    if size != what.size_bytes or digest.digest() != what.sha256:
        raise Refused("mixed", "UNAVAILABLE", "it is not what was announced", hint="send it again")


def _opened(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _finish(path: Path) -> None:
    path.with_name(path.name + PART).replace(path)
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _tidy(folder: Path, newest: Path) -> None:
    """Let the oldest go: of this gateway beyond MAX_KEPT, of all beyond MAX_FOLDER_BYTES."""
    found = sorted(folder.glob(f"*/*{SUFFIX}"), key=lambda one: one.stat().st_mtime_ns)
    mine = [one for one in found if one.parent == newest.parent]
    gone = set(mine[:-MAX_KEPT])
    size = sum(one.stat().st_size for one in found if one not in gone)
    for one in found:
        if size > MAX_FOLDER_BYTES and one not in gone and one != newest:
            size -= one.stat().st_size
            gone.add(one)
    for one in gone:
        one.unlink(missing_ok=True)
