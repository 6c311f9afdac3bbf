"""The driver: looks into the folder and gives what is in its files, each once, as batches.

Owns the order of things: a piece is on our disk before the next one is read, the place is
remembered behind it, and a file is moved or deleted when it is remembered as taken. So a kill at
any moment loses nothing; what it may do is bring the last piece twice. Must not know which files
are ripe (`look`), nor what pieces and rows look like (`chunks`, `tables`).
"""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import TYPE_CHECKING, cast

from forebay.clock import stamp
from forebay.drivers.folder import chunks
from forebay.drivers.folder.content import Changed, Content
from forebay.drivers.folder.look import Watch, is_table, shown
from forebay.drivers.folder.memory import Memory, Place, Taken
from forebay.drivers.folder.tables import MAX_LINE_BYTES, Tables
from forebay.errors import DeviceRefused, DeviceUnreachable
from forebay.events import FILE_REFUSED, FILE_TAKEN, TAGS_REFUSED
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from forebay.drivers.folder.config import FolderSettings
    from forebay.drivers.folder.look import Ripe
    from forebay.files import DiskFile, Seen
    from forebay.interfaces import DeviceSpec, Seams
    from forebay.model import Batch, Schema

MAX_NAMES = 100_000
"""Files in a folder, beyond which nothing is taken until there are fewer."""
_ROWS_BYTES = 32 << 10
"""Of a table, at once: as batches that is well below what one commit may hold."""
_MAX_TOLD = 10_000
_ODD = "it is no regular file: links, pipes and devices are not followed"


class FolderDriver:
    """Watches one folder; see `interfaces.ListeningDriver` and `DurableDriver`."""

    listens = True
    durable = True

    def __init__(self, spec: DeviceSpec, seams: Seams) -> None:
        """Touch nothing."""
        self._device, self._seams, self._disk = spec.name, seams, seams.disk
        self._settings = cast("FolderSettings", spec.settings)
        self._folder, self._state = Path(self._settings.directory), spec.state
        self._lock: DiskFile | None = None
        self._identity: tuple[int, int] | None = None
        self._schema = chunks.schema(spec.name)
        self._watch = Watch(self._settings)
        self._memory: Memory | None = None
        self._tables: Tables | None = None
        self._told: set[tuple[str, str]] = set()

    async def connect(self) -> None:
        """See `Driver.connect`. One process at a time may take from a folder, by its state."""
        await asyncio.to_thread(self._open)

    async def close(self) -> None:
        """See `Driver.close`."""
        lock, self._lock = self._lock, None
        if lock is not None:
            await asyncio.to_thread(lock.close)

    async def stream(self, schemas: Mapping[Schema, float]) -> AsyncIterator[Batch]:
        """See `StreamedDriver.stream`. The periods mean nothing here: `look` does."""
        self._tables = Tables(tuple(schemas), self._settings) if schemas else None
        while True:
            seen = await asyncio.to_thread(self._look)
            for name in self._watch.strange(seen):
                self._refuse(name, _ODD, "put the file itself there")
            taken = 0
            for ripe in self._watch.look(seen, self._seams.clock.monotonic_s()):
                if taken >= self._settings.max_files:
                    break
                if self._is_done(ripe):
                    continue
                taken += 1
                async for batch in self._file(ripe):
                    yield batch
            await self._seams.clock.sleep(self._settings.look)

    # --- the folder -------------------------------------------------------------------------------

    def _open(self) -> None:
        """Look once, take the lock, remember. Blocks."""
        if self._state is None:
            raise DeviceRefused(
                "there is no place to remember what was taken",
                hint="name a journal directory",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )
        self._identity = None
        self._look()
        self._disk.makedirs(self._state)
        self._lock = self._disk.lock(self._state / f"{self._device}.lock")
        if self._lock is None:
            raise DeviceUnreachable(
                f"another process takes the files of {self._device}",
                hint="end the other agent, or give this one a directory of its own",
                status=Quality.BAD_NOT_CONNECTED,
            )
        self._memory = Memory(self._disk, self._state, self._device)
        self._memory.load()

    def _look(self) -> list[Seen]:
        """Give what is there; DeviceUnreachable if the folder is not, or is another. Blocks."""
        try:
            identity, seen = self._seams.folders.look(self._folder, MAX_NAMES + 1)
        except OSError as error:
            raise DeviceUnreachable(
                f"{self._folder} cannot be looked into: {error.strerror}",
                hint=_hint(error),
                status=Quality.BAD_NO_COMMUNICATION,
            ) from error
        if self._identity is not None and identity != self._identity:
            raise DeviceUnreachable(
                f"{self._folder} is another folder than before",
                hint="if it is a mount, see that it is there when the agent runs",
                status=Quality.BAD_NO_COMMUNICATION,
            )
        self._identity = identity
        if len(seen) > MAX_NAMES:
            raise DeviceUnreachable(
                f"{self._folder} has more than {MAX_NAMES:,} files",
                hint='move old ones away, or write after = "move"',
                status=Quality.BAD_OUT_OF_RANGE,
            )
        if self._memory is not None:
            self._memory.forget_all_but(one.name for one in seen)
        return seen

    def _is_done(self, ripe: Ripe) -> bool:
        """Whether there is nothing to do about a file. Cheap: no call to the disk."""
        assert self._memory is not None
        known = self._memory.known(ripe.name)
        if known is not None and known.signature == ripe.signature:
            return self._settings.after == "keep"
        if ripe.signature.size_bytes > self._settings.max_size:
            self._refuse(ripe.name, "it is larger than max_size", "raise max_size, or ignore it")
            return True
        return False

    # --- one file ---------------------------------------------------------------------------------

    async def _file(self, ripe: Ripe) -> AsyncIterator[Batch]:
        """Give all of a file that was not given before, then put it away."""
        try:
            taken, new = await asyncio.to_thread(self._identify, ripe)
            if new:
                of_file = self._pieces
                if self._tables is not None and is_table(ripe.name, self._settings):
                    of_file = self._rows
                async for batch in of_file(ripe, taken):
                    yield batch
                self._seams.events.tally(FILE_TAKEN, device=self._device)
            await asyncio.to_thread(self._put_away, ripe, taken)
        except Changed:
            return  # its next state is taken when it has settled
        except OSError as error:
            if self._is_ours(error):
                raise
            self._refuse(ripe.name, error.strerror or str(error), _hint(error))

    def _is_ours(self, error: OSError) -> bool:
        """Whether it is our own directory that fails, and not the file."""
        name = error.filename
        return name is not None and str(self._state) in str(name)

    def _identify(self, ripe: Ripe) -> tuple[Taken, bool]:
        """Give a file's digest and id, and whether it is to be taken. Blocks."""
        assert self._memory is not None
        known = self._memory.known(ripe.name)
        if known is not None and known.signature == ripe.signature:
            return known, False
        with Content(self._seams.folders, self._folder / ripe.name, ripe.signature) as content:
            sha256 = content.sha256()
        if known is not None and known.sha256 == sha256:
            return known._replace(signature=ripe.signature), False  # touched, not written
        file_id = chunks.file_id(ripe.name, ripe.signature.mtime_ns, sha256)
        return Taken(ripe.signature, sha256, file_id), True

    async def _pieces(self, ripe: Ripe, taken: Taken) -> AsyncIterator[Batch]:
        """Give a file in pieces, from where it ended before; an empty one is one empty piece."""
        offset, first = self._reached(ripe, taken), True
        while first or offset < ripe.signature.size_bytes:
            data = await asyncio.to_thread(self._read, ripe, offset, self._settings.chunk)
            yield chunks.chunk(
                self._schema, ripe.name, taken, offset, data, stamp(self._seams.clock)
            )
            first, offset = False, offset + len(data)
            await asyncio.to_thread(self._reach, Place(ripe.name, taken, offset))

    async def _rows(self, ripe: Ripe, taken: Taken) -> AsyncIterator[Batch]:
        """Give a table's rows in turns, from where it ended before."""
        assert self._tables is not None
        data = await asyncio.to_thread(self._read, ripe, 0, MAX_LINE_BYTES)
        lines, begin = _lines(data, whole=len(data) == ripe.signature.size_bytes)
        if not lines:
            raise OSError(errno.EINVAL, "its first line is too long, or it is empty")
        head = self._tables.head(lines[0].removeprefix("\ufeff"))
        self._note_missing(ripe.name, self._tables.missing(head))
        begin = len(data.split(b"\n", 1)[0]) + 1
        offset = max(begin, self._reached(ripe, taken))
        while offset < ripe.signature.size_bytes:
            data = await asyncio.to_thread(self._read, ripe, offset, _ROWS_BYTES + MAX_LINE_BYTES)
            last = offset + len(data) == ripe.signature.size_bytes
            lines, used = _lines(data, whole=last, most=_ROWS_BYTES)
            if not used:
                raise OSError(errno.EINVAL, f"it has a line of more than {MAX_LINE_BYTES} bytes")
            now = stamp(self._seams.clock)
            for batch in self._tables.batches(head, lines, ripe.signature.mtime_ns, now):
                yield batch
            offset += used
            await asyncio.to_thread(self._reach, Place(ripe.name, taken, offset))

    def _read(self, ripe: Ripe, offset: int, most: int) -> bytes:
        with Content(self._seams.folders, self._folder / ripe.name, ripe.signature) as content:
            return content.read(offset, most)

    def _reached(self, ripe: Ripe, taken: Taken) -> int:
        assert self._memory is not None
        place = self._memory.place
        mine = place is not None and (place.name, place.taken) == (ripe.name, taken)
        return place.offset if mine and place is not None else 0

    def _reach(self, place: Place) -> None:
        assert self._memory is not None
        self._memory.reach(place)

    def _put_away(self, ripe: Ripe, taken: Taken) -> None:
        """Remember a file as taken, then do with it what the settings say. Blocks."""
        assert self._memory is not None
        if self._memory.known(ripe.name) != taken:
            self._memory.keep(ripe.name, taken)
        if self._settings.after == "keep":
            return
        with Content(self._seams.folders, self._folder / ripe.name, ripe.signature):
            pass  # it is still the one that was taken
        if self._settings.after == "delete":
            self._disk.unlink(self._folder / ripe.name)
        else:
            done = Path(self._settings.done or self._folder / "done")
            self._disk.makedirs(done)
            self._disk.rename(self._folder / ripe.name, self._free_name(done, ripe.name, taken))
        marker = self._folder / f"{ripe.name}{self._settings.marker}"
        if self._settings.marker and self._disk.exists(marker):
            self._disk.unlink(marker)

    def _free_name(self, done: Path, name: str, taken: Taken) -> Path:
        """Give the file's own name there, or one with its id where that is in use."""
        path = done / name
        return done / f"{name}.{taken.id[:8]}" if self._disk.exists(path) else path

    # --- what is told -----------------------------------------------------------------------------

    def _refuse(self, name: str, reason: str, hint: str) -> None:
        """Tell once of a file that is not taken."""
        if (name, reason) in self._told:
            return
        if len(self._told) >= _MAX_TOLD:
            self._told.clear()
        self._told.add((name, reason))
        told = {"device": self._device, "file": shown(name), "reason": reason, "hint": hint}
        self._seams.events.emit(FILE_REFUSED, **told)

    def _note_missing(self, name: str, titles: list[str]) -> None:
        if titles and ("", ",".join(titles)) not in self._told:
            self._told.add(("", ",".join(titles)))
            self._seams.events.emit(
                TAGS_REFUSED,
                device=self._device,
                tags=len(titles),
                first=titles[:5],
                reason=f"{shown(name)} has no such column",
                hint="compare the tags' addresses and time_column with the table's first line",
            )


def _lines(data: bytes, *, whole: bool, most: int = MAX_LINE_BYTES) -> tuple[list[str], int]:
    """Cut `data` into lines, and give how many bytes they are; `most` is where a line may end last.

    The last line of a file may have no end: `whole` says that there is no more. Without a whole
    line that is short enough, none. What is no UTF-8 becomes U+FFFD.
    """
    end = len(data) if whole and len(data) <= most else data.rfind(b"\n", 0, most) + 1
    if not end:  # one long line
        end = data.find(b"\n", 0, MAX_LINE_BYTES) + 1
        end = len(data) if not end and whole and len(data) <= MAX_LINE_BYTES else end
    return data[:end].decode("utf-8", "replace").splitlines(), end


def _hint(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "let the agent's user read the folder and its files, and write where it moves them"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "make the folder, or correct its path"
    return "see that the folder's file system is there and sound"
