"""Brings the file that a command asked for to the fleet server.

Owns `STATE/fleet/bundles/`, which holds it meanwhile. Must not know what is in the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import strict
from forebay.errors import FleetRefused, FleetUnavailable
from forebay.identity import FOLDER as IDENTITY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.management.diagnosis import Diagnosis
    from forebay.management.fetching import Fetching

FOLDER = "bundles"
PART_BYTES = 256 << 10


class _Made(NamedTuple):
    """A file that is ready to go."""

    path: Path
    sha256: bytes
    size_bytes: int


class Delivering:
    """Of one agent; one file at a time."""

    def __init__(self, state: Path, diagnosis: Diagnosis, fetching: Fetching) -> None:
        """Touch nothing yet."""
        self._folder = state / IDENTITY / FOLDER
        self._diagnosis, self._fetching = diagnosis, fetching
        self._one = asyncio.Lock()

    async def deliver(self, command_id: str, within_s: float) -> bytes:
        """Make a diagnostics bundle and send it; give its SHA-256 once the server has it durably.

        Raises:
            FleetRefused: another is on its way, or the server does not want it.
            FleetUnavailable: the disk, the line or the time did not suffice.
        """
        if self._one.locked():
            raise FleetRefused("another bundle is on its way", hint="wait for it", code="busy")
        async with self._one:
            path = self._folder / f"{command_id}.tar.gz"
            try:
                async with asyncio.timeout(within_s):
                    await asyncio.to_thread(_emptied, self._folder)
                    await self._diagnosis.make(path)
                    made = await asyncio.to_thread(_hashed, path)
                    await self._fetching.tried(
                        lambda fleet: self._sent(fleet, command_id, made, within_s)
                    )
                    return made.sha256
            except TimeoutError:
                raise FleetUnavailable(
                    "the bundle did not reach the server in time", hint="ask again, with --for 1h"
                ) from None
            except OSError as error:
                raise FleetUnavailable(
                    f"the bundle cannot be written: {error.strerror}", hint="check the disk"
                ) from error
            finally:
                await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _sent(self, fleet: Any, command_id: str, made: _Made, within_s: float) -> None:  # noqa: ANN401 - grpc has no types
        with made.path.open("rb") as file:
            await strict(fleet.Deliver, _requests(command_id, made, file), timeout=within_s)


async def _requests(
    command_id: str, made: _Made, file: BinaryIO
) -> AsyncIterator[pb.DeliverRequest]:
    first = pb.DeliverRequest(command_id=command_id, sha256=made.sha256, size_bytes=made.size_bytes)
    first.data = await asyncio.to_thread(file.read, PART_BYTES)
    yield first
    while data := await asyncio.to_thread(file.read, PART_BYTES):
        yield pb.DeliverRequest(data=data)


def _emptied(folder: Path) -> None:
    """Make the folder anew: a file may be left of an agent that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


def _hashed(path: Path) -> _Made:
    with path.open("rb") as file:
        return _Made(path, hashlib.file_digest(file, "sha256").digest(), path.stat().st_size)
