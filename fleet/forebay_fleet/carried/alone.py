"""Takes a file of data where no server runs: opens the store for as long as that lasts."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from forebay_fleet.carried import sealing, spool
from forebay_fleet.carried.taking import Taking
from forebay_fleet.committer import Committer
from forebay_fleet.desired import signing
from forebay_fleet.ingest import Ingest
from forebay_fleet.limits import Limits
from forebay_fleet.registry import RegistryThread
from forebay_fleet.store.writer import StoreWriter

if TYPE_CHECKING:
    from pathlib import Path


def take(data: Path, path: Path) -> dict[str, Any]:
    """Give what becomes of a file, as `spool.told`.

    Raises StoreLocked if a server runs, and as `Taking.take`.
    """
    return asyncio.run(_take(data, path))


async def _take(data: Path, path: Path) -> dict[str, Any]:
    limits = Limits()
    async with AsyncExitStack() as stack:
        store = stack.enter_context(StoreWriter(data))
        committer = Committer(store, limits.commit_bytes, limits.memory_bytes)
        await stack.enter_async_context(committer)
        registry = await stack.enter_async_context(RegistryThread(data))
        ingest = Ingest(store, limits, time.time_ns)
        keys = signing.load(data), sealing.load(data)
        taking = Taking(ingest, committer, registry, keys, time.time_ns)
        return spool.told(await taking.take(path))
