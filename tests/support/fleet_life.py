"""A gateway's journal and forwarder, one run at a time, against a real fleet server."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.clock import SystemClock
from forebay.forwarding.forwarder import Forwarder
from forebay.journal.journal import Account, Entry, Journal, JournalLimits
from forebay.model import Batch, Schema, Stream, Tag, ValueType
from forebay.uplinks.grpc import SPEC
from forebay.uplinks.grpc.config import GrpcSettings
from support.batches import batch_entry
from support.forwarding import make_seams, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from support.fleet import FleetServer

GATEWAY = "press-hall-1"
START_NS = 1_700_000_000 * 10**9
SCHEMA = Schema("press", "fast", tuple(Tag(f"t{n}", "-", ValueType.FLOAT64) for n in range(100)))
ROWS = 10
SAMPLES = ROWS * len(SCHEMA.tags)
"""Of one entry."""
LIMITS = JournalLimits(
    max_bytes=64 << 20, max_age_s=86_400, segment_bytes=1 << 20, ring_bytes=8 << 20
)


def entry(number: int) -> Entry:
    """Make the batch of second `number`: every value says which of them it is."""
    times = START_NS + number * 10**9 + np.arange(ROWS, dtype=np.int64)
    rows = number * ROWS + np.arange(ROWS)[:, None]
    values = np.repeat(rows, len(SCHEMA.tags), axis=1).astype(np.float64)
    batch = Batch(SCHEMA, times, times + 5, (values,))
    return batch_entry(batch)


@dataclass
class Life:
    """One run of the gateway."""

    journal: Journal
    forwarder: Forwarder

    async def produce(self, numbers: Iterable[int]) -> None:
        """Journal the batches of these seconds."""
        for number in numbers:
            await self.journal.submit([entry(number)])

    async def drained(self) -> Account:
        """Wait until everything is delivered or accounted for; give the account.

        It follows the cursor within a second.
        """
        assert await self.forwarder.drain(600)
        await until(lambda: self.account().pending == 0)
        return self.account()

    def account(self) -> Account:
        """Give what the gateway tells of its telemetry."""
        return self.journal.ledger(Stream.TELEMETRY, self.journal.cursor("cloud"))

    def ledger_json(self) -> dict[str, object]:
        """Give what `forebay ledger --json` would."""
        names = ("produced", "delivered", "pending", "gapped", "quarantined")
        taken_ns = SystemClock().now_ns()
        counts = {name: getattr(self.account(), name) for name in names}
        line = {"stream": "telemetry", "uplink": "cloud", **counts}
        return {"taken_ns": taken_ns, "lines": [line]}


@asynccontextmanager
async def life(
    directory: Path,
    server: FleetServer,
    *,
    address: str = "",
    seed: int = 1,
    limits: JournalLimits = LIMITS,
) -> AsyncIterator[Life]:
    """Run the gateway on the journal in `directory`; `seed` is where its epochs come from."""
    files = server.issue(GATEWAY)
    settings = GrpcSettings.model_validate(
        {
            "kind": "grpc",
            "address": address or server.address,
            "server_name": "localhost",
            "ca": str(files.ca),
            "cert": str(files.certificate),
            "key": str(files.key),
            "backoff": {"first": 0.05, "most": 0.4},
        }
    )
    seams = replace(make_seams(), rng=random.Random(seed))
    async with Journal(directory, limits, seams) as journal:
        uplink = SPEC.build("cloud", settings, seams)
        forwarder = Forwarder("cloud", uplink, settings, journal, GATEWAY, seams)
        async with running(forwarder):
            yield Life(journal, forwarder)


def seconds(server: FleetServer) -> list[int]:
    """Give the seconds of all rows that the server has, in order, one for each row."""
    words = ("--gateway", GATEWAY, "--tag", "press/t99", "--limit", "1000000")
    values = server.read_json("query", *words)["values"]
    assert [v["value"] for v in values] == [
        float((v["time_ns"] - START_NS) // 10**9 * ROWS + (v["time_ns"] - START_NS) % 10**9)
        for v in values
    ]
    return [(v["time_ns"] - START_NS) // 10**9 for v in values]


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`, which asks the server's store by a command, is true."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - the store is another process's
            await asyncio.sleep(0.05)
