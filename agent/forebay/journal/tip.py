"""The tip file: a second witness of how far each stream is on disk.

A log that is cut short behind its last readable record looks like one that ended there. The tip
says otherwise. Owns `tip`: two slots, written in turns, each flushed, so that one of them is whole
whatever a cut does to the other. A hint like the cursors: without it nothing but this check is
lost. Must not know segments.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from forebay.journal.record import crc32c
from forebay.journal.saving import ALL
from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay.files import Disk, DiskFile

NAME = "tip"
SLOT_BYTES = 512
"""One slot is one sector of the most common size: a torn write cannot mix two of its contents."""
SLOT_OFFSETS = (0, 4096)
"""Each slot has a page of its own, so that a medium which loses a page keeps the other slot."""
FILE_BYTES = 8192
_MAGIC = b"FbTIP\0\0\1"
_HEAD = struct.Struct("<8sIIQq")
_STREAM = struct.Struct("<QQQQQ32s")
_ORDERLY = 1


class Tip(NamedTuple):
    """The last durable record of a stream and the account behind it; `seq` 0 for none.

    `counted`, `missing` and `records` are `segment.Totals`, `chain` the hash chain behind it.
    """

    epoch: int
    seq: int
    counted: int
    missing: int
    records: int
    chain: bytes


class Tips(NamedTuple):
    """One slot's content. `orderly`: the run stopped in order, nothing was on its way to the disk.

    `written_ns` is the wall time of writing, `number` counts the writes.
    """

    number: int
    written_ns: int
    orderly: bool
    streams: Mapping[Stream, Tip]


def encode(tips: Tips) -> bytes:
    """Give one slot's SLOT_BYTES bytes."""
    flags = _ORDERLY if tips.orderly else 0
    nothing = Tip(0, 0, 0, 0, 0, bytes(32))
    body = b"".join(_STREAM.pack(*tips.streams.get(stream, nothing)) for stream in Stream)
    head = _HEAD.pack(_MAGIC, 0, flags, tips.number, tips.written_ns)
    data = (head + body).ljust(SLOT_BYTES, b"\0")
    return data[:8] + crc32c(data[12:]).to_bytes(4, "little") + data[12:]


def decode(data: bytes) -> Tips | None:
    """Read one slot; None if it is damaged or was never written."""
    if len(data) != SLOT_BYTES or data[:8] != _MAGIC:
        return None
    _, crc, flags, number, written_ns = _HEAD.unpack_from(data)
    if crc != crc32c(data[12:]):
        return None
    found = {
        stream: Tip(*_STREAM.unpack_from(data, _HEAD.size + place * _STREAM.size))
        for place, stream in enumerate(Stream)
    }
    streams = {stream: tip for stream, tip in found.items() if tip.seq}
    return Tips(number, written_ns, bool(flags & _ORDERLY), streams)


class TipFile:
    """Keeps the file. One thread at a time; all calls block. OSError if the disk refuses."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        """Keep it in `directory`; nothing is touched before `load`."""
        self._path, self._disk = directory / NAME, disk
        self._file: DiskFile | None = None
        self._number = self._next = 0
        self._last: Mapping[Stream, Tip] = {}

    def load(self) -> Tips | None:
        """Give what the newer whole slot says; None if there is none."""
        try:
            data = self._disk.read_bytes(self._path, FILE_BYTES)
        except OSError:  # as good as not there: the first `save` makes it anew
            return None
        slots = [decode(data[at : at + SLOT_BYTES]) for at in SLOT_OFFSETS]
        whole = [(tips.number, place) for place, tips in enumerate(slots) if tips is not None]
        if not whole:
            return None
        self._number, place = max(whole)
        self._next = 1 - place
        newest = slots[place]
        assert newest is not None
        self._last = newest.streams
        return newest

    def save(
        self,
        streams: Mapping[Stream, Tip],
        now_ns: int,
        *,
        orderly: bool = False,
        fewest: int = 1,
    ) -> bool:
        """Make `streams` durable over the older slot, if they are the `fewest` records further.

        In any case if the run ends. Gives whether it wrote.
        """
        if self._further(streams) < fewest and not orderly:
            return False
        file = self._open()
        tips = Tips(self._number + 1, now_ns, orderly, dict(streams))
        file.pwrite([encode(tips)], SLOT_OFFSETS[self._next])
        file.datasync()
        self._number, self._next, self._last = tips.number, 1 - self._next, tips.streams
        return True

    def _further(self, streams: Mapping[Stream, Tip]) -> int:
        """Give by how many records `streams` are beyond the file; ALL for another epoch."""
        if streams == self._last:
            return 0
        further = 0
        for stream, tip in streams.items():
            known = self._last.get(stream)
            if known is None or known.epoch != tip.epoch or known.seq > tip.seq:
                return ALL
            further += tip.seq - known.seq
        return max(1, further)

    def close(self) -> None:
        """Let go of the file; writes nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> DiskFile:
        """Open the file; make it, with its blocks, if it is missing or has another size."""
        if self._file is None:
            if not self._disk.exists(self._path) or self._disk.size(self._path) != FILE_BYTES:
                self._disk.write_atomic(self._path, bytes(FILE_BYTES))
            self._file = self._disk.open(self._path, write=True)
        return self._file
