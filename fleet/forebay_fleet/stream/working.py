"""A worker: takes its share of the parts, and commits what comes in them.

Owns who has which part: a lock in PostgreSQL for each, and a share by how many workers there are.
Must not know what is decided of a record.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import nats.errors
import structlog

from forebay_fleet._proto import ingest_pb2
from forebay_fleet.db import place
from forebay_fleet.errors import FleetError, StoreFailed, StoreLocked, UsageError
from forebay_fleet.limits import Limits
from forebay_fleet.registry import RegistryThread
from forebay_fleet.stream.committing import PartStore
from forebay_fleet.stream.connecting import open_line
from forebay_fleet.stream.naming import PARTS, WORKERS
from forebay_fleet.stream.pulling import Puller, acknowledge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay_fleet.db.database import Database
    from forebay_fleet.registry import Registry
    from forebay_fleet.stream.connecting import Line, StreamSettings

BEAT_S = 2.0
SILENT_NS = 5 * 10**9
"""After this without a word a worker is not counted any more: what it has left is free for others.
One that is merely slow keeps what it has, by its locks."""
ALIVE = "alive"
"""File of the data directory, touched at each beat: a worker has no port to ask it by."""
_TABLE = "CREATE TABLE workers (name TEXT PRIMARY KEY, seen_ns INTEGER NOT NULL) STRICT"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `worker` needs."""

    data: Path
    stream: StreamSettings
    limits: Limits = field(default_factory=Limits)


async def work(
    settings: WorkerSettings, stopping: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Work until `stopping`; `ready` is called once parcels may come.

    Raises:
        UsageError: no PostgreSQL is named.
        StoreError: stream or database cannot be used.
    """
    if place.address(settings.data) is None:
        raise UsageError("workers share a PostgreSQL", hint="name it: --database postgresql://...")
    name = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        line = await open_line(stack, settings.stream)
        registry = await stack.enter_async_context(RegistryThread(settings.data))
        await registry(lambda one: one.prepare("workers", 1, _TABLE))
        parts = Parts(settings, line)
        stack.push_async_callback(parts.close)
        _log.info("worker_started", worker=name)
        ready()
        share = PARTS
        while not stopping.is_set():
            try:
                share = math.ceil(PARTS / await registry(partial(_beat, name=name)))
                await parts.say(name)
            except StoreFailed as error:
                _log.error("registry_failed", error=str(error), hint=error.hint)
            except nats.errors.Error as error:
                _log.error("stream_failed", error=str(error))
            parts.keep(share)
            with suppress(OSError):  # a full disk: it grows old, and that is seen
                await asyncio.to_thread((settings.data / ALIVE).touch)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), BEAT_S)
        await parts.close()
        with suppress(StoreFailed):
            await registry(partial(_leave, name=name))
    _log.info("worker_stopped", worker=name)


class Parts:
    """The parts that this worker has, or tries to have."""

    def __init__(self, settings: WorkerSettings, line: Line) -> None:
        """Have none yet."""
        self._settings, self._line = settings, line
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._releases: dict[int, asyncio.Event] = {}
        self._incarnations: dict[int, str] = {}
        self._next = secrets.randbelow(PARTS)

    def keep(self, share: int) -> None:
        """Have at most `share` parts, and try for as many. Raises what ended a part wrongly."""
        for part, task in [*self._tasks.items()]:
            if task.done():
                del self._tasks[part]
                task.result()
        held = [part for part in self._tasks if not self._releases[part].is_set()]
        for part in held[share:]:
            self._releases[part].set()
        tried = 0
        while len(held) + tried < share and tried < PARTS:
            tried += 1
            part, self._next = self._next, (self._next + 1) % PARTS
            if part not in self._tasks:
                release = self._releases[part] = asyncio.Event()
                self._tasks[part] = asyncio.create_task(
                    run_part(self._settings, self._line, part, release, self._incarnations),
                    name=f"part-{part}",
                )

    async def say(self, name: str) -> None:
        """Tell who takes records which incarnation of the store is open. Raises nats.errors.Error.

        Only of parts that are open: what was open before a loss may be of another one.
        """
        for incarnation in {*self._incarnations.values()}:
            present = ingest_pb2.Present(worker=name, incarnation=incarnation)
            await self._line.client.publish(WORKERS, present.SerializeToString())

    async def close(self) -> None:
        """Let all parts go, with what they have in hand committed."""
        for release in self._releases.values():
            release.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        self._tasks.clear()


async def run_part(
    settings: WorkerSettings,
    line: Line,
    part: int,
    release: asyncio.Event,
    incarnations: dict[int, str],
) -> None:
    """Have a part until `release`, or until database or stream fail: then it is tried again.

    While it is had, `incarnations` has that of its store.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=f"part-{part}")
    loop = asyncio.get_running_loop()
    store: PartStore | None = None
    try:
        opening = partial(PartStore, settings.data, part, settings.limits)
        store = await loop.run_in_executor(thread, opening)
        async with Puller(line, part, release) as puller:
            incarnations[part] = store.incarnation
            _log.info("part_taken", part=part)
            while not release.is_set():
                messages = await puller.next()
                if not messages:
                    continue
                payloads = [message.data for message in messages]
                answers = await loop.run_in_executor(thread, store.commit, payloads)
                for answer in answers:
                    await line.client.publish(answer.to, answer.greeting.SerializeToString())
                await acknowledge(messages)
    except StoreLocked:
        return
    except (FleetError, nats.errors.Error, TimeoutError) as error:
        _log.error("part_lost", part=part, error=str(error) or type(error).__name__)
    finally:
        incarnations.pop(part, None)
        if store is not None:
            await loop.run_in_executor(thread, store.close)
            _log.info("part_left", part=part)
        thread.shutdown(wait=False)


def _beat(registry: Registry, name: str) -> int:
    """Say that this worker is there; give how many are."""
    now_ns = time.time_ns()
    with registry.transaction() as db:
        db.execute(
            "INSERT INTO workers VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET seen_ns = excluded.seen_ns",
            (name, now_ns),
        )
        db.execute("DELETE FROM workers WHERE seen_ns < ?", (now_ns - SILENT_NS,))
        return max(1, _count(db))


def _count(db: Database) -> int:
    (count,) = db.execute("SELECT count(*) FROM workers").fetchone() or (1,)
    return int(count)


def _leave(registry: Registry, name: str) -> None:
    with registry.transaction() as db:
        db.execute("DELETE FROM workers WHERE name = ?", (name,))
