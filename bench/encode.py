"""What encoding costs: nanoseconds of CPU and bytes per value, of process-like data.

The data is a random walk of 5,000 float32 tags, rounded to 0.01, in batches of eight scans: every
value changes in every scan. It is held against protobuf's own packed doubles filled from the same
array, the plain way to put columns into a message.
"""

from __future__ import annotations

import numpy as np

from bench.figures import Figure, cpu_s_each, figure
from forebay._proto import batch_pb2
from forebay.columnar import BatchEncoder, decode_batch
from forebay.model import Batch, Schema, Tag, ValueType

TAGS, SCANS, ROUNDS, CALLS = 5_000, 8, 9, 40


def process_batches() -> list[Batch]:
    """Give eight scans of 5,000 changing values."""
    rng = np.random.default_rng(1)
    tags = tuple(Tag(f"t{i}", f"holding:{2 * i}", ValueType.FLOAT32) for i in range(TAGS))
    schema = Schema("bench", "all", tags)
    walk = np.round(20 + np.cumsum(rng.normal(0, 0.05, (SCANS, TAGS)), axis=0), 2).astype(
        np.float32
    )
    times = 1_700_000_000_000_000_000 + np.arange(SCANS, dtype=np.int64) * 1_000_000_000
    return [
        Batch(schema, times[i : i + 1], times[i : i + 1] + 4_000_000, (walk[i : i + 1],))
        for i in range(SCANS)
    ]


def run() -> list[Figure]:
    """Measure encode and decode."""
    batches, encoder = process_batches(), BatchEncoder()
    payload = encoder.encode(batches)
    values = TAGS * SCANS
    flat = np.concatenate([b.values[0] for b in batches]).astype(np.float64).ravel()

    def packed() -> bytes:
        message = batch_pb2.Batch(data=flat.tobytes(), rows=SCANS)
        return message.SerializeToString()

    mine, plain, back = [], [], []
    for _ in range(ROUNDS):
        mine.append(cpu_s_each(lambda: encoder.encode(batches), CALLS) / values * 1e9)
        plain.append(cpu_s_each(packed, CALLS) / values * 1e9)
        back.append(
            cpu_s_each(lambda: decode_batch(payload, batches[0].schema), CALLS) / values * 1e9
        )
    against = "raw float64 column in a message (8 B/value)"
    return [
        figure("encode.ns_per_value", mine, "ns", against=against, others=plain),
        figure("encode.bytes_per_value", [len(payload) / values], "B"),
        figure("encode.decode_ns_per_value", back, "ns"),
    ]
