"""What a person carries to this box and from it: satisfies `config.carried.Carrying`.

Owns the bundle that was handed in, STATE/fleet/bundle, and that it is looked at before it counts:
a person confirms the very state that they were shown. It is believed by the same checks as one that
comes by the line. Must not know sticks, nor how a configuration is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from forebay.config.carried import Looked
from forebay.errors import ForebayError, RequestFailed, RequestInvalid
from forebay.identity import ENROLL_HINT, FOLDER, NOT_ENROLLED, current
from forebay.management import bundles
from forebay.management.collecting import Collecting
from forebay.management.offers import StateRefused, files_of
from forebay.management.packages import AgentLeaves

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from forebay._proto import fleet_pb2 as pb
    from forebay.config.bundle import File
    from forebay.config.carried import Acknowledged, Begun, Collected
    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.bundles import Bundle
    from forebay.management.desired import Believed, Desired
    from forebay.management.runtime import Runtime

FILE = "bundle"
SPARE_BYTES = 64 << 20
"""What a bundle must leave free: the journal goes on."""
WRITE_BYTES = 1 << 20
MAX_FILES = 64
"""Of the paths that a look tells."""


class _Whole:
    """The contents of a configuration, which go on to be there when the bundle is gone.

    Packages are taken out of it before that.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._contents: dict[bytes, bytes] = {}
        self.to_file, self.metadata = bundle.to_file, bundle.metadata

    async def put(self, file: File) -> None:
        """Take a content out of the bundle. FleetRefused if it is not in it."""
        self._contents[file.sha256] = await self._bundle.content(file.sha256, file.size_bytes)

    async def content(self, sha256: bytes, _size_bytes: int) -> bytes:
        """See `desired.Source`."""
        return self._contents[sha256]


class Carrying:
    """Of one agent. One bundle at a time."""

    def __init__(self, state: Path, desired: Desired, runtime: Runtime, seams: Seams) -> None:
        """Touch nothing yet."""
        self._folder, self._state = state / FOLDER, state
        self._desired, self._seams = desired, seams
        self._collecting = Collecting(state, runtime, seams)
        self._turn = asyncio.Lock()
        self._came = False

    async def begin(self) -> None:
        """Remove what an agent that was killed had been handed: nobody can confirm it any more."""
        async with self._turn:
            if not self._came:
                with contextlib.suppress(OSError):  # the next that comes takes its place
                    await asyncio.to_thread(self._drop)

    async def look(self, size_bytes: int, data: AsyncIterator[bytes]) -> Looked:
        """See `config.carried.Carrying.look`."""
        async with self._turn:
            try:
                await self._keep(size_bytes, data)
                _, _, found = await self._proved(await self._read())
            except ForebayError:
                await asyncio.to_thread(self._drop)  # nobody can confirm it: it needs no room
                raise
        return _told(found)

    async def take(self, digest: bytes, who: str) -> Looked:
        """See `config.carried.Carrying.take`."""
        async with self._turn:
            bundle = await self._read()
            signed, identity, found = await self._proved(bundle)
            if bytes.fromhex(found.digest) != digest:
                raise RequestInvalid(
                    "another bundle was handed in meanwhile", hint="apply this one again"
                )
            whole = _Whole(bundle)
            for one in files_of(found.state):  # before it counts as seen: another may be whole
                await whole.put(one)
            try:
                attempt = await self._desired.take(signed, identity, whole, by=who)
            except AgentLeaves:
                await asyncio.to_thread(self._drop)  # another agent begins, and knows nothing of it
                raise
            await asyncio.to_thread(self._drop)
        return _told(found)._replace(attempt=attempt)

    def collect(
        self, uplink: str, max_bytes: int, after: bytes, who: str
    ) -> AsyncGenerator[Begun | bytes | Collected]:
        """See `config.carried.Carrying.collect`."""
        return self._collecting.collect(uplink, max_bytes, after, who)

    async def acknowledge(self, data: bytes, who: str) -> Acknowledged:
        """See `config.carried.Carrying.acknowledge`."""
        return await self._collecting.acknowledge(data, who)

    async def _proved(self, bundle: Bundle) -> tuple[pb.Signed, Identity, Believed]:
        """Give the state of a bundle. RequestInvalid if this box is not to believe it."""
        identity = await asyncio.to_thread(current, self._state, self._seams.disk)
        if identity is None:
            raise RequestInvalid(NOT_ENROLLED, hint=ENROLL_HINT)
        signed = await asyncio.to_thread(bundle.state)
        try:
            return signed, identity, await self._desired.look(signed, identity)
        except StateRefused as error:
            raise RequestInvalid(str(error), hint=error.hint) from None

    # --- the file ---------------------------------------------------------------------------------

    async def _keep(self, size_bytes: int, data: AsyncIterator[bytes]) -> None:
        """Write down what is handed in. RequestInvalid if it is not what was said of it."""
        self._came = True
        disk, path = self._seams.disk, self._folder / FILE
        if not 0 < size_bytes <= bundles.MAX_BYTES:
            raise RequestInvalid(
                f"a bundle has at most {bundles.MAX_BYTES >> 30} GiB", hint="is it this file?"
            )
        try:
            await asyncio.to_thread(self._drop)
            if disk.free_bytes(self._folder) < size_bytes + SPARE_BYTES:
                raise RequestFailed(
                    f"there is no room for {size_bytes >> 20} MiB on this box", hint="make room"
                )
            file = await asyncio.to_thread(disk.open, path, create=True, private=True)
            try:
                written = 0
                async for part in data:
                    if written + len(part) > size_bytes:
                        raise RequestInvalid("it is larger than it was", hint="apply it again")
                    await asyncio.to_thread(file.pwrite, [part], written)
                    written += len(part)
            finally:
                await asyncio.to_thread(file.close)
        except OSError as error:
            raise RequestFailed(f"{path}: {error.strerror}", hint="check the disk") from error
        if written != size_bytes:
            raise RequestInvalid("it did not come whole", hint="apply it again")

    async def _read(self) -> Bundle:
        """Give the bundle that was handed in. RequestInvalid if there is none, or it is none."""
        try:
            return await asyncio.to_thread(bundles.read, self._seams.disk, self._folder / FILE)
        except FileNotFoundError:
            raise RequestInvalid("no bundle was handed in", hint="apply it again") from None
        except OSError as error:
            raise RequestFailed(str(error), hint="check the disk") from error

    def _drop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._seams.disk.unlink(self._folder / FILE)


def _told(found: Believed) -> Looked:
    """Give what a person is shown of a state."""
    state = found.state
    return Looked(
        digest=bytes.fromhex(found.digest),
        gateway=state.gateway,
        version=state.version,
        issued_ns=state.issued_ns,
        expires_ns=state.expires_ns,
        issuer=state.issuer[:64],
        reason=state.reason[:200],
        config_hash=state.config_hash.hex(),
        files=tuple(one.path for one in state.files[:MAX_FILES]),
        packages=tuple(f"{one.name} {one.version}" for one in state.packages[:MAX_FILES]),
        known=found.known,
    )
