"""Journal records made by hand, whole and true: checksum and hash fit the payload.

Owns nothing else. The payload need not be a message of `batch.proto`: forwarding never reads it.
"""

from __future__ import annotations

import hashlib

import google_crc32c

from forebay.model import Position, Record, RecordKind, Stream


def make_record(
    seq: int,
    payload: bytes | None = None,
    *,
    stream: Stream = Stream.TELEMETRY,
    epoch: int = 1 << 32,
    kind: RecordKind = RecordKind.BATCH,
    samples: int = 1,
) -> Record:
    """Give a record at `seq`, one second after its predecessor; its payload tells its position."""
    if payload is None:
        payload = f"{stream}/{epoch:x}/{seq}".encode()
    time_ns = 1_700_000_000_000_000_000 + seq * 1_000_000_000
    return Record(
        position=Position(stream, epoch, seq),
        kind=kind,
        samples=samples,
        time_min_ns=time_ns,
        time_max_ns=time_ns,
        revision=0,
        hash=hashlib.sha256(payload).digest(),
        crc=google_crc32c.value(payload),
        payload=payload,
    )
