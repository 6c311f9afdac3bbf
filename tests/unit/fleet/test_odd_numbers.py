"""A box says any number that the wire can carry: the store keeps it, or refuses it, and goes on.

An error of the database would end the server that stores it, and the box would send it again: so
one box would stop all.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.envelope import MAX_GAP_SAMPLES
from forebay_fleet.ingest import SessionEnded
from support.fleet import anchor, record
from support.fleet_ingest import EPOCH, Server, batch, codes, gap, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EDGES = [edge + more for edge in (0, 2, 1 << 32, 1 << 62, 1 << 63, 1 << 64) for more in (-1, 0)]
UNSIGNED = [edge for edge in EDGES if 0 <= edge < 1 << 64]
SIGNED = [-(1 << 63), -1, 0, (1 << 63) - 1]


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    made = Server(data)
    with contextlib.closing(made.store):
        yield made


def odd(rng: random.Random, seq: int) -> uplink_pb2.Record:
    one = rng.choice(
        [anchor(seq), schema(seq), batch(seq, 2), batch(seq, 1, thinned=1), odd_gap(rng, seq)]
    )
    for name in ("samples", "thinned", "absent_from", "seq", "epoch"):
        if rng.random() < 0.15:
            setattr(one, name, rng.choice(UNSIGNED))
    for name in ("time_min_ns", "time_max_ns"):
        if rng.random() < 0.2:
            setattr(one, name, rng.choice(SIGNED))
    if rng.random() < 0.2:
        one.revision = rng.choice([1, (1 << 32) - 1])
    return one


def odd_gap(rng: random.Random, seq: int) -> uplink_pb2.Record:
    told = batch_pb2.Gap(
        cause=batch_pb2.CORRUPT,
        time_from_ns=rng.choice(SIGNED),
        time_to_ns=rng.choice(SIGNED),
        samples=rng.choice(UNSIGNED),
        epoch=rng.choice([EPOCH, *UNSIGNED]),
        seq_from=rng.choice(UNSIGNED),
        seq_to=rng.choice(UNSIGNED),
    )
    return record(seq, uplink_pb2.GAP, told.SerializeToString())


@pytest.mark.parametrize("seed", [1, 2])
def test_no_number_ends_the_server(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    server.hello((1, 1_000))
    kept = ended = 0
    for seq in range(1, 250):
        try:
            kept += not server.send(odd(rng, seq)).rejected
        except SessionEnded:
            ended += 1
    assert min(kept, ended) > 20
    for first, following, epoch in itertools.product(UNSIGNED, UNSIGNED, UNSIGNED):
        if rng.random() < 0.1:
            try:
                server.hello((first, following, epoch))
            except SessionEnded:
                ended += 1
    server.hello((1, 1_000))
    assert codes(server.send(anchor(999))) == []


@pytest.mark.parametrize("made", [anchor, schema, lambda seq: gap(seq, 0, 0)])
def test_what_counts_more_samples_than_can_be_is_refused_for_good(
    server: Server, made: Callable[[int], uplink_pb2.Record]
) -> None:
    server.hello((1, 3))
    one, two = made(1), made(2)
    one.samples = two.thinned = MAX_GAP_SAMPLES
    assert codes(server.send(one, two)) == [(seq, "BadDecodingError", True) for seq in (1, 2)]
    assert server.verified() == []
