"""Names and numbers that those who take and those who commit must agree on. Pure."""

from __future__ import annotations

import zlib

STREAM = "forebay-ingest"
SUBJECTS = "forebay.ingest.*"
WORKERS = "forebay.workers"
"""Where workers say that they are there: messages Present, which no stream keeps."""
PARTS = 16
"""Into so many parts gateways are shared out; a part is one worker's at a time. Never changed."""
MAX_PARCEL_BYTES = 17 << 20
"""The largest message: a record of 16 MiB and its envelope."""


def part_of(gateway: str) -> int:
    """Give the part of a gateway: CRC-32 of its name."""
    return zlib.crc32(gateway.encode()) % PARTS


def subject(part: int) -> str:
    """Give where the parcels of a part go."""
    return f"forebay.ingest.{part}"


def consumer(part: int) -> str:
    """Give the name of what a worker reads a part by."""
    return f"part-{part}"
