"""Contents from the fleet server, by the channel that the stream has.

Owns going on where a transfer broke off, and the belief in what came: length and hash. Must not
know what a content is for. What is asked for while there is no stream waits for one.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import StrayCancellation, strict
from forebay.errors import FleetError, FleetRefused, FleetUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from forebay.files import Disk, DiskFile
    from forebay.interfaces import Seams

TRIES = 10
"""How often in a row nothing may come of a try while the server is there."""
WRONG_TRIES = 3
"""How often something else may come than what was asked for."""
AGAIN_S = 2.0
AWAY_S = 600.0
"""How long a server may be away before who asked is told."""
SILENCE_S = 30.0
"""How long a transfer may stand still."""
READ_BYTES = 1 << 20
LEAST_BYTES = 4 << 10
"""What a try must bring to count for none: who sends byte by byte is not asked for ever."""
PART = ".part"
"""What the name of a file ends with until it is whole."""
_AGAIN = "it is asked again"


class Fetching:
    """Of one agent; `use` says by which stub. Any number of tasks may ask."""

    def __init__(self, seams: Seams) -> None:
        """Have no server yet."""
        self._seams = seams
        self._fleet: Any = None
        self._there = asyncio.Event()

    def use(self, fleet: Any) -> None:  # noqa: ANN401 - grpc has no types
        """Ask this FleetStub from now on; None: the stream is gone."""
        self._fleet = fleet
        if fleet is None:
            self._there.clear()
        else:
            self._there.set()

    async def content(self, sha256: bytes, size_bytes: int) -> bytes:
        """Give the content with this hash and size.

        Raises:
            FleetRefused: the server has no such content for this box.
            FleetUnavailable: it is away, or what came was not that content, again and again.
        """
        held = _Held(size_bytes)
        await self.tried(lambda fleet: self._rest(fleet, sha256, held))
        return bytes(held.data)

    async def to_file(self, sha256: bytes, size_bytes: int, path: Path) -> None:
        """Bring the content with this hash and size to `path`, durably; its folder must be there.

        What has come rests in `path` with PART at its end, also over a restart; what proves to be
        another content is dropped. One task a path. Raises as `content`, and FleetUnavailable if
        the disk refuses it.
        """
        disk = self._seams.disk
        part = path.with_name(path.name + PART)
        file = _Filed(disk, part, size_bytes)
        try:
            await file.open()
            await self.tried(lambda fleet: self._rest(fleet, sha256, file))
            await file.settle(path)
        except OSError as error:
            raise FleetUnavailable(
                f"{path} cannot be written: {error.strerror}", hint="check the disk"
            ) from error
        finally:
            file.close()

    async def metadata(self, name: str, max_bytes: int) -> bytes:
        """Give a file of the TUF repository by its name. Raises as `content`."""
        held = _Held(max_bytes)

        async def whole(fleet: Any) -> None:  # noqa: ANN401 - grpc has no types
            await held.drop()  # it may be another by now
            await self._pull(fleet, pb.FetchRequest(metadata=name), held)

        await self.tried(whole)
        return bytes(held.data)

    async def tried(self, work: Callable[[Any], Awaitable[None]]) -> None:
        """Do `work` with the server until it is done, or tell what kept it from that."""
        import grpc

        from forebay.management import asking

        found: FleetError = FleetUnavailable("the server is away", hint=_AGAIN)
        wrong = 0
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(AWAY_S):
                    await self._there.wait()
            except TimeoutError:
                raise FleetUnavailable("the server is away", hint=_AGAIN) from None
            try:
                return await work(self._fleet)
            except grpc.aio.AioRpcError as error:
                found = asking.from_status(error)
                if isinstance(found, FleetRefused):
                    raise found from None
            except FleetUnavailable as error:
                found, wrong = error, wrong + 1
                if wrong >= WRONG_TRIES:
                    raise
            except (StrayCancellation, TimeoutError):
                found = FleetUnavailable("the transfer broke off", hint=_AGAIN)
            await self._seams.clock.sleep(AGAIN_S)
        raise found

    async def _rest(self, fleet: Any, sha256: bytes, place: _Place) -> None:  # noqa: ANN401 - grpc
        """Fetch what is missing of a content, and see that it is that content."""
        import grpc

        while True:
            before = place.size
            request = pb.FetchRequest(sha256=sha256, offset=before)
            try:
                await self._pull(fleet, request, place)
                break
            except (grpc.aio.AioRpcError, StrayCancellation, TimeoutError):
                if place.size - before < LEAST_BYTES or fleet is not self._fleet:
                    raise  # as long as enough comes, no try is lost
        if place.size != place.most or place.digest() != sha256:
            await place.drop()
            raise FleetUnavailable(
                f"what came is not {sha256.hex()[:12]}", hint="it is asked again from its begin"
            )

    async def _pull(self, fleet: Any, request: pb.FetchRequest, place: _Place) -> None:  # noqa: ANN401 - grpc
        """Add what the server answers, no byte more than there may be."""
        import grpc

        call, replies = fleet.Fetch(request), 0
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    reply = await strict(call.read)
                if reply is grpc.aio.EOF:
                    return
                if place.size + len(reply.data) > place.most:
                    await place.drop()
                    raise FleetUnavailable("it is larger than was offered", hint="push it again")
                if replies and not reply.data:
                    raise FleetUnavailable("what comes has no end", hint=_AGAIN)
                replies += 1
                await place.add(reply.data)
        finally:
            call.cancel()


class _Place(Protocol):
    """Where what comes is put: `most` bytes at most, of which `size` are there."""

    most: int

    @property
    def size(self) -> int: ...

    async def add(self, data: bytes) -> None: ...

    async def drop(self) -> None:
        """Begin anew."""
        ...

    def digest(self) -> bytes:
        """Give the SHA-256 of what is there."""
        ...


class _Held:
    """In memory."""

    def __init__(self, most: int) -> None:
        self.most, self.data = most, bytearray()

    @property
    def size(self) -> int:
        return len(self.data)

    async def add(self, data: bytes) -> None:
        self.data += data

    async def drop(self) -> None:
        self.data.clear()

    def digest(self) -> bytes:
        return hashlib.sha256(self.data).digest()


class _Filed:
    """In a file, which may be there in part.

    All that blocks is done on a thread of its own, in order: who is cancelled while it writes does
    not close the file under it.
    """

    def __init__(self, disk: Disk, path: Path, most: int) -> None:
        self.most, self.size = most, 0
        self._disk, self._path = disk, path
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetching")
        self._file: DiskFile | None = None

    async def _on_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def open(self) -> None:
        await self._on_thread(self._open)

    def _open(self) -> None:
        there = self._disk.exists(self._path)
        file = self._disk.open(self._path, create=not there, write=True, private=True)
        self._file = file
        if file.size() > self.most:
            self._drop()
        while data := file.pread(READ_BYTES, self.size):
            self._hash.update(data)
            self.size += len(data)

    async def add(self, data: bytes) -> None:
        await self._on_thread(partial(self._add, data))

    def _add(self, data: bytes) -> None:
        assert self._file is not None
        self._file.pwrite([data], self.size)
        self._hash.update(data)
        self.size += len(data)

    async def drop(self) -> None:
        await self._on_thread(self._drop)

    def _drop(self) -> None:
        assert self._file is not None
        self._file.truncate(0)
        self._hash, self.size = hashlib.sha256(), 0

    def digest(self) -> bytes:
        return self._hash.digest()

    async def settle(self, target: Path) -> None:
        """Make it durable, under its own name."""
        await self._on_thread(partial(self._settle, target))

    def _settle(self, target: Path) -> None:
        assert self._file is not None
        self._file.datasync()
        self._disk.rename(self._path, target)
        self._disk.sync_dir(target.parent)

    def close(self) -> None:
        """Close it after all that is under way."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
