"""A gateway's real journal and forwarder against the server of `testing.uplink_server`.

What that server has is laid beside what the gateway says of it: the conservation law, each term
against what really came.
"""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from forebay._proto import uplink_pb2 as pb
from forebay.columnar import decode_gap
from forebay.forwarding.forwarder import Forwarder
from forebay.journal.journal import Journal
from forebay.model import RecordKind, Stream
from forebay.uplinks.grpc import SPEC
from forebay.uplinks.grpc.config import GrpcSettings
from support.fleet_life import LIMITS, entry
from support.forwarding import make_seams, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.interfaces import Seams
    from forebay.testing.uplink_server import UplinkServer

T = Stream.TELEMETRY


@dataclass
class Site:
    """One run of a gateway."""

    journal: Journal
    forwarder: Forwarder
    seams: Seams

    async def produce(self, numbers: Iterable[int], stream: Stream = T) -> None:
        """Journal the batches of these seconds, a record each."""
        for number in numbers:
            await self.journal.submit([replace(entry(number), stream=stream)])

    async def produce_noise(self, count: int, size: int) -> None:
        """Journal records of `size` bytes that say nothing, a sample each."""
        for number in range(count):
            noise = random.Random(number).randbytes(size)
            await self.journal.submit(
                [replace(entry(number), payload=noise, samples=1, schema=None)]
            )


@asynccontextmanager
async def opened(
    directory: Path, address: str, *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """Run the gateway on the journal in `directory`, with one uplink to `address`."""
    seams = make_seams(clock)
    async with Journal(directory, LIMITS, seams) as journal:
        forwarder = forwarder_to(journal, address, seams, **settings)
        async with running(forwarder):
            yield Site(journal, forwarder, seams)


def forwarder_to(
    journal: Journal, address: str, seams: Seams, *, name: str = "cloud", **settings: Any
) -> Forwarder:
    """Give a forwarder over plain text."""
    values = {"backoff": {"first": 0.05, "most": 0.4}, **settings}
    checked = GrpcSettings.model_validate(
        {"kind": "grpc", "address": address, "plaintext": True, **values}
    )
    uplink = SPEC.build(name, checked, seams)
    return Forwarder(name, uplink, checked, journal, "gateway-1", seams)


async def conserved(
    site: Site, server: UplinkServer, name: str = "cloud", *, quarantined: int = 0
) -> None:
    """Check the law of both sides for telemetry, once nothing is pending.

    Every record of the journal is at the server, once and unchanged, but for those set aside, of
    which a gap there tells.
    """
    account = site.journal.ledger(T, site.journal.cursor(name))
    assert account.balanced, account
    assert account.pending == 0, account
    assert account.quarantined == quarantined, account
    mine: dict[tuple[int, int], bytes] = {}
    after = site.journal.cursor("reader").get(T)
    while records := await site.journal.read(after, 1 << 20):
        after = records[-1].position
        mine |= {(r.position.epoch, r.position.seq): r.payload for r in records}
        batches = [r for r in records if r.kind is RecordKind.BATCH]
        assert all(r.samples for r in batches)
    there = [r for r in server.store.records if r.stream == T.number]
    theirs = {(r.epoch, r.seq): r.payload for r in there}
    assert len(theirs) == len(there), "a record is stored twice"
    aside = {copy.position[1:] for copy in site.journal.quarantine.copies(name)}
    assert theirs == {place: data for place, data in mine.items() if place not in aside}
    delivered = sum(r.samples for r in there if r.kind == pb.BATCH)
    gapped = 0
    for record in there:
        if record.kind == pb.GAP:
            gap = decode_gap(record.payload)
            gapped += gap.samples or 0
    assert (account.delivered, account.gapped) == (delivered, 0)
    assert account.produced == delivered + quarantined
    assert gapped <= quarantined
    for stream, epoch in server.store.committed:
        assert server.store.runs((stream, epoch)) == [], "the server waits for a hole"
