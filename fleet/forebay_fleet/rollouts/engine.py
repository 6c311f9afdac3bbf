"""What moves rollouts on: one look a second.

Owns the order of the steps, and which server does them. Whatever is stopped in the middle goes on
with the next look: what was offered is written where the offer is. Several servers may share a
registry: one of them has the lease, and even two at once would offer nothing twice.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import structlog

from forebay_fleet.access import trail
from forebay_fleet.desired import presence, states
from forebay_fleet.errors import FleetError
from forebay_fleet.rollouts import book, labels
from forebay_fleet.rollouts.hearing import hear, unheard
from forebay_fleet.rollouts.offering import ENGINE, Kit, end, offer, unchanged
from forebay_fleet.rollouts.plans import State, next_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.artifacts.published import Published
    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.registry import Registry, RegistryThread
    from forebay_fleet.rollouts.book import Rollout

T = TypeVar("T")

LOOK_S, MOST_LOOK_S = 1.0, 10.0
SHARE = 10
"""Looking takes one part in so many of the registry's time: with very many boxes it is seldomer."""
LEASE_S = 15.0
LEASE = "rollouts"

_log = structlog.get_logger()


class Tools(NamedTuple):
    """What offers are made with: `published` artifacts, the key that signs."""

    signer: Signer
    published: Published


class Engine:
    """Of one server."""

    def __init__(self, registry: RegistryThread, tools: Tools, stopping: asyncio.Event) -> None:
        """Move nothing yet; `stopping` is set when the server is to end."""
        self._registry, self._published, self._stopping = registry, tools.published, stopping
        self._kit = Kit(tools.signer)
        self._look_s = LOOK_S

    async def run(self) -> None:
        """Look until the server stops, or the task is cancelled."""
        # By its data directory: a server that was killed has the lease again at once.
        name = partial(presence.server_name, self._registry.directory)
        while not self._stopping.is_set():
            try:
                holder = await asyncio.to_thread(name)
                if await self._registry(partial(leased, holder=holder)):
                    await self._look()
            except FleetError as error:
                _log.error("rollouts_failed", error=str(error), hint=error.hint)
            try:
                await asyncio.wait_for(self._stopping.wait(), self._look_s)
            except TimeoutError:
                continue

    async def _look(self) -> None:
        going_on = await self._registry(going)
        over = await self._registry(lambda registry: unheard(registry, time.time_ns()))
        took_s = 0.0
        for id_ in [*over, *going_on]:
            took_s += await self._safely(id_, partial(_heard, id_=id_)) or 0.0
        self._look_s = min(max(LOOK_S, SHARE * took_s), MOST_LOOK_S)
        if going_on:
            self._kit.artifacts = await asyncio.to_thread(self._published.artifacts)
        for id_ in going_on:
            move = partial(_moved, kit=self._kit, id_=id_)
            while await self._safely(id_, move):  # the registry is others' in between
                if self._stopping.is_set():
                    return

    async def _safely(self, id_: str, work: Callable[[Registry], T]) -> T | None:
        """Do something for one rollout; others go on if it cannot be. Raises FleetError."""
        try:
            return await self._registry(work)
        except FleetError:
            raise
        except Exception:  # noqa: BLE001 - one that cannot go on must not keep others
            _log.exception("rollout_failed", rollout=id_)
            return None


def _moved(registry: Registry, kit: Kit, id_: str) -> bool:
    return step(registry, kit, id_, time.time_ns())


def _heard(registry: Registry, id_: str) -> float:
    """Hear of a rollout; give how long it took, s of this thread."""
    began_s = time.thread_time()
    hear(registry, book.find(registry, id_), time.time_ns())
    return time.thread_time() - began_s


def leased(registry: Registry, holder: str) -> bool:
    """Take or keep the lease; False: another server has it. Raises StoreFailed."""
    now_ns = time.time_ns()
    found = registry.rows("SELECT holder, until_ns FROM leases WHERE name = ?", (LEASE,))
    if found and found[0][0] != holder and found[0][1] > now_ns:
        return False
    if found and found[0][0] == holder and found[0][1] > now_ns + int(LEASE_S * 0.6e9):
        return True
    with registry.transaction() as db:
        db.execute(
            "INSERT INTO leases (name, holder, until_ns) VALUES (?, ?, ?) ON CONFLICT (name)"
            " DO UPDATE SET holder = excluded.holder, until_ns = excluded.until_ns"
            " WHERE leases.holder = excluded.holder OR leases.until_ns <= ?",
            (LEASE, holder, now_ns + int(LEASE_S * 1e9), now_ns),
        )
    found = registry.rows("SELECT holder FROM leases WHERE name = ?", (LEASE,))
    return bool(found[0][0] == holder)


def going(registry: Registry) -> list[str]:
    """Give the rollouts that something is to be done for, the oldest first. Raises StoreFailed."""
    sql = "SELECT id FROM rollouts WHERE ended_ns = 0 OR ending <> '' ORDER BY began_ns, id"
    return [id_ for (id_,) in registry.rows(sql)]


def step(registry: Registry, kit: Kit, id_: str, now_ns: int) -> bool:
    """Do one step of a rollout; True: there is another one to be done at once.

    Raises:
        StoreFailed: the registry.
    """
    rollout = book.find(registry, id_)
    if rollout.ending:
        return end(registry, kit, rollout, now_ns)
    if rollout.state is not State.RUNNING:
        return False
    rested = _rested(registry, rollout, now_ns)
    found = next_step(rollout.plan, _counts(registry, rollout), rested=rested)
    if isinstance(found, tuple):
        _say(registry, rollout, *found)
        return False
    if found == "next":
        return _next_wave(registry, rollout)
    return offer(registry, kit, rollout, now_ns)


def _counts(registry: Registry, rollout: Rollout) -> dict[str, int]:
    rows = registry.rows(
        "SELECT state, count(*) FROM rollout_boxes WHERE rollout = ? AND wave <= ? GROUP BY state",
        (rollout.id, rollout.wave),
    )
    return dict(rows)


def _rested(registry: Registry, rollout: Rollout, now_ns: int) -> bool:
    ((newest,),) = registry.rows(
        "SELECT coalesce(max(since_ns), 0) FROM rollout_boxes WHERE rollout = ? AND wave = ?",
        (rollout.id, rollout.wave),
    )
    return bool(now_ns >= newest + int(rollout.plan.rest_s * 1e9))


def _next_wave(registry: Registry, rollout: Rollout) -> bool:
    """Begin the next wave, or end; True: there is one."""
    found = registry.rows(
        "SELECT 1 FROM rollout_boxes WHERE rollout = ? AND wave > ? LIMIT 1",
        (rollout.id, rollout.wave),
    )
    if not found:
        done = book.counts(registry, rollout.id)
        text = ", ".join(f"{number} {state}" for state, number in sorted(done.items()))
        _say(registry, rollout, State.DONE, text)
        return False
    with registry.transaction() as db:
        if not unchanged(db, rollout):
            return False
        db.execute("UPDATE rollouts SET wave = ? WHERE id = ?", (rollout.wave + 1, rollout.id))
        trail.note(db, ENGINE, "rollout.wave", rollout.id, "", {"wave": rollout.wave + 1})
        states.forget_unnamed(db)
    return True


def _say(registry: Registry, rollout: Rollout, state: State, said: str) -> None:
    with registry.transaction() as db:
        if not unchanged(db, rollout):
            return
        book.move(db, rollout.id, state, said)
        trail.note(db, ENGINE, f"rollout.{state}", rollout.id, said)
        states.forget_unnamed(db)
    _log.info("rollout_moved", rollout=rollout.id, state=state, said=said)


async def prepare(registry: RegistryThread) -> None:
    """Make the tables. Raises StoreError, StoreFailed."""
    await registry(trail.prepare)
    await registry(labels.prepare)
