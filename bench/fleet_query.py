"""How long a fleet server takes to draw a day of one tag out of 100 million stored samples.

Real records, as an agent writes them that polls once a second, each a batch of one row of 100 tags,
go through the server's own ingest into its own store. That is built once, in .cache. Each question
is for another box, tag and day, and is answered in 500 steps, as REST answers it.
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from bench.figures import CACHE, Figure, figure
from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.ingest import Ingest
from forebay_fleet.limits import Limits
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.store.writer import StoreWriter
from forebay_fleet.values.asking import Asked
from forebay_fleet.values.documents import ranges
from support.fleet import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

GATEWAYS, DAYS, TAGS = 4, 3, 100
DAY_S = 86_400
SAMPLES = GATEWAYS * DAYS * DAY_S * TAGS  # 103,680,000
START_NS = 1_790_000_000 * 10**9
EPOCH = 1 << 32
QUESTIONS = 200
TOGETHER = 600
PLACE = CACHE / f"fleet-query-1-{GATEWAYS}-{DAYS}-{TAGS}"


def run() -> list[Figure]:
    """Ask QUESTIONS times."""
    if not PLACE.exists():
        build(PLACE)
    draw = random.Random(1)
    with StoreReader(PLACE) as store:
        took_ms = [ask(store, draw) for _ in range(QUESTIONS)]
    found = sorted(took_ms)
    return [
        figure("fleet.query_p50_ms", [statistics.median(found)], "ms"),
        figure("fleet.query_p99_ms", [found[QUESTIONS * 99 // 100]], "ms"),
    ]


def ask(store: StoreReader, draw: random.Random) -> float:
    """Give how long one question took, ms."""
    asked = Asked(f"box-{draw.randrange(GATEWAYS)}", f"press/t{draw.randrange(TAGS)}")
    first_ns = START_NS + draw.randrange((DAYS - 1) * DAY_S) * 10**9
    begin = time.perf_counter()
    answer = ranges(store, asked, (first_ns, first_ns + DAY_S * 10**9 - 1), 500)
    took_ms = (time.perf_counter() - begin) * 1e3
    assert b'"samples":[17' in answer  # 172 or 173 in each step of 172.8 s
    return took_ms


def build(place: Path) -> None:
    """Make the store."""
    making = place.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    schema = Schema(
        "press", "fast", tuple(Tag(f"t{n}", "-", ValueType.FLOAT32, "bar") for n in range(TAGS))
    )
    with StoreWriter(making) as store:
        ingest = Ingest(store, Limits(), time.time_ns)
        boxes = []
        for number in range(GATEWAYS):
            hello = uplink_pb2.Hello(gateway=f"box-{number}", boot_id="boot", session=1)
            hello.heads.add(stream=uplink_pb2.TELEMETRY, epoch=EPOCH, first_seq=1, next_seq=1)
            with store.transaction():
                gateway, _ = ingest.greet(hello)
                ingest.take(gateway, [record(1, uplink_pb2.SCHEMA, encode_schema(schema))])
            boxes.append((gateway, scans(schema, number)))
        for first in range(0, DAYS * DAY_S, TOGETHER):  # the boxes send side by side
            with store.transaction():
                for gateway, walk in boxes:
                    ingest.take(gateway, [next(walk) for _ in range(TOGETHER)])
            if first % DAY_S == 0:
                print(f"  building the store: day {first // DAY_S + 1} of {DAYS}", flush=True)
    making.rename(place)


def scans(schema: Schema, seed: int) -> Iterator[uplink_pb2.Record]:
    """Walk the records of a box: values as machines give them, with two decimals."""
    rng = np.random.default_rng(seed)
    levels: NDArray[np.float64] = rng.normal(50, 20, TAGS)
    for second in range(DAYS * DAY_S):
        levels = levels + rng.normal(0, 0.1, TAGS)
        times = np.array([START_NS + second * 10**9 + int(rng.integers(0, 10**6))])
        values = np.round(levels, 2).astype(np.float32)[None, :]
        payload = encode_batch([Batch(schema, times, times + 1_500_000, (values,))])
        at = int(times[0])
        yield record(
            second + 2, uplink_pb2.BATCH, payload, samples=TAGS, times_ns=(at, at), epoch=EPOCH
        )
