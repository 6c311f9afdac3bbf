"""Quarantine: copies of records that a destination refused for good, or on which it broke.

Owns the directory `quarantine`, one file a record and uplink, and its bounds: a share of the disk
and an age. A copy that goes undelivered is told in a gap before it goes, and is `gapped` from then
on: the ledger asks here what there is. Must not know why a destination refuses, nor how a record is
sent again.

A file is: magic (8), length of the head (4), CRC32C of the head (4), the head as JSON, the payload,
and the encoded schema that a batch needs, so that the copy explains itself after retention took the
rest. Numbers are little-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forebay.errors import JournalFull, QuarantineError
from forebay.events import QUARANTINE_DROPPED
from forebay.journal.entry import aside_gap, gap_entry
from forebay.journal.record import MAX_PAYLOAD_BYTES, crc32c
from forebay.journal.retention import merged
from forebay.model import Position, Record, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from forebay.clock import Reading
    from forebay.interfaces import Seams
    from forebay.journal.entry import Entry

MAGIC = b"FbQUARAN"
MAX_HEAD_BYTES = 16 << 10
MAX_FILE_BYTES = 2 * MAX_PAYLOAD_BYTES + MAX_HEAD_BYTES + 16
MAX_RECORDS = 10_000
"""Copies kept at most, whatever their size."""
MAX_AGE_S = 30 * 86_400.0
SUSPECT = "Suspect"
"""The code of a record on which a destination broke each time."""

_FULL_PAUSE_S = 0.5
_REASON_CHARACTERS = 512
_CODE_CHARACTERS = 128
_PREFIX = struct.Struct("<8sII")
_NAME = re.compile(r"^(audit|events|telemetry|bulk)-([0-9a-f]{16})-([0-9a-f]{16})\.rec$")
_UPLINK = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One copy, as people see it. `id` is `UPLINK/STREAM-EPOCH-SEQ`, `at_ns` wall time of `put`.

    `aged` says whether a disciplined clock told it: only then is its age known.
    """

    id: str
    uplink: str
    position: Position
    kind: RecordKind
    samples: int
    thinned: int
    time_min_ns: int
    time_max_ns: int
    bytes: int
    file_bytes: int
    at_ns: int
    aged: bool
    code: str
    reason: str


class Quarantine:
    """All copies of one journal. Used on its event loop, but for `load`."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        seams: Seams,
        tell: Callable[[Sequence[Quarantined]], Awaitable[None]],
    ) -> None:
        """Keep at most `max_bytes` in `directory`, which is made with the first copy.

        `tell` is awaited before copies go that nobody got: when it returns, gaps that account for
        them are durable. It may raise JournalError; then they stay.
        """
        self._directory, self._max_bytes, self._tell = directory, max_bytes, tell
        self._disk, self._clock, self._events = seams.disk, seams.clock, seams.events
        self._kept: dict[str, Quarantined] = {}
        self._changing = asyncio.Lock()

    def load(self) -> tuple[str, ...]:
        """Read the heads of all files; give the names of those that are damaged. Blocks.

        A damaged file stays where it is, for people. OSError if the directory cannot be read.
        """
        damaged: list[str] = []
        found: list[Quarantined] = []
        for uplink in self._names(self._directory):
            if not _UPLINK.match(uplink):
                continue
            for name in self._names(self._directory / uplink):
                if not _NAME.match(name):
                    continue
                one = self._head(uplink, name)
                if one is None:
                    damaged.append(f"{uplink}/{name}")
                else:
                    found.append(one)
        self._kept = {one.id: one for one in sorted(found, key=lambda one: one.at_ns)}
        return tuple(damaged)

    @property
    def size_bytes(self) -> int:
        """What all copies take on disk."""
        return sum(one.file_bytes for one in self._kept.values())

    def copies(self, uplink: str = "") -> tuple[Quarantined, ...]:
        """Give the copies of one uplink, or of all, oldest first."""
        return tuple(one for one in self._kept.values() if uplink in ("", one.uplink))

    def samples(self, uplink: str, upto: Position) -> int:
        """Count the samples of batches kept for an uplink, of one stream and up to a position."""
        return sum(
            one.samples
            for one in self._kept.values()
            if one.uplink == uplink
            and one.kind is RecordKind.BATCH
            and one.position.stream is upto.stream
            and one.position <= upto
        )

    async def put(
        self, record: Record, *, uplink: str, code: str, reason: str, schema: bytes = b""
    ) -> None:
        """Keep a copy of `record`; it is durable on return. The same record again changes nothing.

        Where there is no room the oldest copies go, once gaps account for them. QuarantineError if
        the disk refuses: then the record must stay pending. JournalFailed if it refuses the gap.
        """
        name = _name(record.position)
        async with self._changing:
            if f"{uplink}/{name.removesuffix('.rec')}" in self._kept:
                return
            head = _head_of(record, uplink, code, reason, self._clock.read(), schema)
            data = _PREFIX.pack(MAGIC, len(head), crc32c(head)) + head + record.payload + schema
            one = _parse_head(uplink, name, data)
            assert one is not None
            await self._make_room(len(data))
            await self._guard(self._write, uplink, name, data)
            self._kept[one.id] = one

    async def read(self, copy_id: str) -> tuple[Record, bytes]:
        """Give a record and the encoded schema kept with it.

        QuarantineError if there is no such copy or if it is damaged.
        """
        one = self._find(copy_id)
        data = await self._guard(self._disk.read_bytes, self._path(one), MAX_FILE_BYTES)
        found = decode(data)
        if found is None:
            raise QuarantineError(
                f"{copy_id} is damaged on disk", hint="drop it: it can be neither read nor sent"
            )
        return found

    async def release(self, copy_id: str) -> None:
        """Remove the copy of a record that was taken after all; durable on return.

        QuarantineError if there is none.
        """
        async with self._changing:
            await self._remove(self._find(copy_id))

    async def drop(self, copy_id: str) -> None:
        """Remove a copy that nobody will get, once a gap accounts for it; durable on return.

        QuarantineError if there is none. JournalError if the gap cannot be written: it stays then.
        """
        async with self._changing:
            await self._drop((self._find(copy_id),), "asked")

    async def prune(self, now_ns: int | None) -> None:
        """Remove what is older than 30 days; nothing while no age is believed (None).

        Raises as `drop`.
        """
        if now_ns is None:
            return
        oldest_ns = now_ns - MAX_AGE_S * 1e9
        async with self._changing:
            await self._drop(
                tuple(one for one in self.copies() if one.aged and one.at_ns < oldest_ns), "age"
            )

    async def _make_room(self, size: int) -> None:
        while self._kept and (
            self.size_bytes + size > self._max_bytes or len(self._kept) >= MAX_RECORDS
        ):
            try:
                await self._drop((next(iter(self._kept.values())),), "space")
            except JournalFull:
                await self._clock.sleep(_FULL_PAUSE_S)

    async def _drop(self, going: Sequence[Quarantined], cause: str) -> None:
        """Tell first, then remove: what a crash leaves in between is still here, and told."""
        if going:
            await self._tell(going)
        for one in going:
            await self._remove(one)
            self._events.emit(
                QUARANTINE_DROPPED, record=one.id, cause=cause, samples=one.samples, code=one.code
            )

    async def _remove(self, one: Quarantined) -> None:
        await self._guard(self._unlink, self._path(one))
        del self._kept[one.id]

    def _find(self, copy_id: str) -> Quarantined:
        one = self._kept.get(copy_id)
        if one is None:
            raise QuarantineError(
                f"nothing in quarantine is called {copy_id!r}",
                hint="list it: forebay journal quarantine ls",
            )
        return one

    def _path(self, one: Quarantined) -> Path:
        return self._directory / one.uplink / _name(one.position)

    def _write(self, uplink: str, name: str, data: bytes) -> None:
        self._disk.makedirs(self._directory / uplink)
        self._disk.write_atomic(self._directory / uplink / name, data)

    def _unlink(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(path)
        self._disk.sync_dir(path.parent)

    async def _guard(self, work: Any, *args: object) -> Any:  # noqa: ANN401 - passes through what `work` takes and gives
        """Do disk work in a thread; QuarantineError instead of OSError."""
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            raise QuarantineError(
                f"the quarantine in {self._directory} cannot be used: {error}",
                hint="look at the disk's free space and health; the record stays pending",
            ) from error

    def _names(self, directory: Path) -> list[str]:
        try:
            return self._disk.listdir(directory) if self._disk.exists(directory) else []
        except NotADirectoryError:
            return []

    def _head(self, uplink: str, name: str) -> Quarantined | None:
        path = self._directory / uplink / name
        try:
            size = self._disk.size(path)
            begin = self._disk.read_bytes(path, _PREFIX.size + MAX_HEAD_BYTES)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENOENT):
                raise
            return None
        one = _parse_head(uplink, name, begin)
        return one if one is not None and one.file_bytes == size else None


def dropped_entries(going: Sequence[Quarantined]) -> list[Entry]:
    """Give the gaps that account for copies; neighbours share one."""
    return [
        gap_entry(stream, gap)
        for stream in Stream
        for gap in merged([aside_gap(one) for one in going if one.position.stream is stream])
    ]


def _name(position: Position) -> str:
    return f"{position.stream}-{position.epoch:016x}-{position.seq:016x}.rec"


def _head_of(
    record: Record, uplink: str, code: str, reason: str, at: Reading, schema: bytes
) -> bytes:
    return json.dumps(
        {
            "uplink": uplink,
            "position": [
                record.position.stream.value,
                f"{record.position.epoch:016x}",
                record.position.seq,
            ],
            "code": code[:_CODE_CHARACTERS],
            "reason": reason[:_REASON_CHARACTERS],
            "at_ns": at.wall_ns,
            "aged": at.synced,
            "kind": int(record.kind),
            "samples": record.samples,
            "thinned": record.thinned,
            "revision": record.revision,
            "time_min_ns": record.time_min_ns,
            "time_max_ns": record.time_max_ns,
            "hash": record.hash.hex(),
            "crc": record.crc,
            "payload_bytes": len(record.payload),
            "schema_bytes": len(schema),
            "schema_crc": crc32c(schema),
        }
    ).encode()


def _split(data: bytes) -> tuple[dict[str, Any], int] | None:
    """Give a file's head and where its payload begins; None if the head is damaged."""
    if len(data) < _PREFIX.size:
        return None
    magic, length, crc = _PREFIX.unpack_from(data)
    raw = data[_PREFIX.size : _PREFIX.size + length]
    if magic != MAGIC or length > MAX_HEAD_BYTES or len(raw) != length or crc32c(raw) != crc:
        return None
    head: dict[str, Any] = json.loads(raw)
    return head, _PREFIX.size + length


def _parse_head(uplink: str, name: str, data: bytes) -> Quarantined | None:
    match, found = _NAME.match(name), _split(data)
    if match is None or found is None:
        return None
    head, begin = found
    return Quarantined(
        id=f"{uplink}/{name.removesuffix('.rec')}",
        uplink=uplink,
        position=Position(Stream(match[1]), int(match[2], 16), int(match[3], 16)),
        kind=RecordKind(head["kind"]),
        samples=head["samples"],
        thinned=head["thinned"],
        time_min_ns=head["time_min_ns"],
        time_max_ns=head["time_max_ns"],
        bytes=head["payload_bytes"],
        file_bytes=begin + head["payload_bytes"] + head["schema_bytes"],
        at_ns=head["at_ns"],
        aged=head["aged"],
        code=head["code"],
        reason=head["reason"],
    )


def decode(data: bytes) -> tuple[Record, bytes] | None:
    """Give the record in a file and the encoded schema kept with it; None if it is damaged."""
    found = _split(data)
    if found is None:
        return None
    head, begin = found
    end = begin + head["payload_bytes"]
    payload, schema = data[begin:end], data[end:]
    if (crc32c(payload), crc32c(schema)) != (head["crc"], head["schema_crc"]):
        return None
    position = head["position"]
    return (
        Record(
            position=Position(Stream(position[0]), int(position[1], 16), position[2]),
            kind=RecordKind(head["kind"]),
            samples=head["samples"],
            time_min_ns=head["time_min_ns"],
            time_max_ns=head["time_max_ns"],
            revision=head["revision"],
            hash=bytes.fromhex(head["hash"]),
            crc=head["crc"],
            payload=payload,
            thinned=head["thinned"],
        ),
        schema,
    )
