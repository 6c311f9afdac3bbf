"""A piece of a file as a batch of the stream `bulk`.

Owns the columns of such a batch, which readers of the journal and plugins know by name
(README, "What comes of a file"). Pure. Must not know where pieces come from.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from forebay.drivers.folder.look import shown
from forebay.model import Batch, Schema, Stream, Tag, ValueType

if TYPE_CHECKING:
    from forebay.clock import Stamp
    from forebay.drivers.folder.memory import Taken

GROUP = "files"
_COLUMNS = (
    ("file", ValueType.STRING, ""),
    ("id", ValueType.STRING, ""),
    ("sha256", ValueType.STRING, ""),
    ("offset", ValueType.UINT64, "B"),
    ("total", ValueType.UINT64, "B"),
    ("data", ValueType.BYTES, ""),
)


def schema(device: str) -> Schema:
    """Give the schema of the chunks of a device's files."""
    tags = tuple(Tag(name, name, kind, unit) for name, kind, unit in _COLUMNS)
    return Schema(device, GROUP, tags)


def file_id(name: str, mtime_ns: int, sha256: str) -> str:
    """Give what names a file among all of its device: another name, time or content is another."""
    told = b"\0".join(
        [name.encode("utf-8", "surrogateescape"), str(mtime_ns).encode(), sha256.encode()]
    )
    return hashlib.sha256(told).hexdigest()[:32]


def chunk(of: Schema, name: str, taken: Taken, offset: int, data: bytes, at: Stamp) -> Batch:
    """Give the piece at `offset`; its source time is the file's."""
    texts = [shown(name), taken.id, taken.sha256]
    lanes = {
        ValueType.STRING: np.array([texts], object),
        ValueType.UINT64: np.array([[offset, taken.signature.size_bytes]], np.uint64),
        ValueType.BYTES: np.array([[data]], object),
    }
    return Batch(
        of,
        np.array([taken.signature.mtime_ns], np.int64),
        np.array([at.wall_ns], np.int64),
        tuple(lanes[lane.type] for lane in of.lanes),
        boottime_ns=np.array([at.boottime_ns], np.int64),
        stream=Stream.BULK,
    )
