"""What was collected to be carried by hand, and what of it was acknowledged.

Owns STATE/fleet/collected.json: it is durable before the last byte of a collection is given, so
that an acknowledgement is held against what this box knows, and counts once. Must not know records.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from forebay.errors import RequestFailed
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from forebay.files import Disk

FILE = "collected.json"
MAX_FILE_BYTES = 1 << 20
MOST = 256
"""Collections that are remembered; an acknowledgement of an older one is not taken any more."""
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Collection:
    """One file of data. `id` and `instance` (whose it is) are hex.

    `ends` say how far it goes, `[epoch, seq]` by stream; `incarnation` is that of the destination
    as it was known when it was collected, empty for none.
    """

    id: str
    uplink: str
    instance: str
    incarnation: str
    ends: Mapping[str, Sequence[int]]
    acknowledged: bool = False

    def end(self, stream: Stream) -> Position:
        """Give the last position that it holds, or begins behind."""
        epoch, seq = self.ends.get(stream.value, (0, 0))
        return Position(stream, epoch, seq)


def read(folder: Path, disk: Disk) -> tuple[Collection, ...]:
    """Give the collections, oldest first; none if the file is damaged. They can be made again."""
    try:
        found: dict[str, Any] = json.loads(disk.read_bytes(folder / FILE, MAX_FILE_BYTES))
        if found["format"] != _FORMAT:
            return ()
        return tuple(Collection(**one) for one in found["collections"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def note(folder: Path, disk: Disk, new: Collection) -> None:
    """Remember a collection durably, in place of one with its id. Raises RequestFailed."""
    kept = [one for one in read(folder, disk) if one.id != new.id]
    text = {"format": _FORMAT, "collections": [asdict(one) for one in (*kept, new)[-MOST:]]}
    try:
        disk.makedirs(folder)
        disk.write_atomic(folder / FILE, json.dumps(text).encode())
    except OSError as error:
        raise RequestFailed(f"{folder / FILE}: {error.strerror}", hint="check the disk") from error


def acknowledged(collection: Collection) -> Collection:
    """Give it as one whose acknowledgement has counted."""
    return replace(collection, acknowledged=True)
