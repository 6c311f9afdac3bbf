"""Who may come in by its certificate, and until when: every session passes here.

Owns the list of open sessions and the look at the registry that ends them. Must not know what a
session does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from forebay_fleet.errors import StoreAway
from forebay_fleet.identity import gateways
from forebay_fleet.identity.answering import Caller, caller
from forebay_fleet.identity.office import replaced
from forebay_fleet.identity.refused import Refused
from forebay_fleet.limits import GATEWAY_PATTERN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from forebay_fleet.identity.answering import Context
    from forebay_fleet.registry import Registry, RegistryThread

T = TypeVar("T")

LOOK_S = 1.0
"""How soon a session ends whose gateway was locked or revoked, at most."""

MOST_CALLS = 32
"""Calls of one gateway that may be open at once: 16 uplinks, two streams, a renewal, contents. One
that is out of its mind, or whose key was stolen, does not take the places of the others."""

_log = structlog.get_logger()


class Visit:
    """One open session of a gateway."""

    def __init__(self, who: Caller) -> None:
        """Be let in."""
        self.who = who
        self.refusal: Refused | None = None
        """Why it must end; set with `over`."""
        self.over = asyncio.Event()

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, cancelled once this gateway may not stay. Raises Refused then."""
        working = asyncio.create_task(work, name="door.session")
        ending = asyncio.create_task(self.over.wait(), name="door.over")
        try:
            await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
            if working.done() or self.refusal is None:
                return await working
            raise self.refusal
        finally:
            ending.cancel()
            working.cancel()
            await asyncio.wait((working, ending))


class Door:
    """Of one server."""

    def __init__(self, registry: RegistryThread) -> None:
        """Ask `registry`."""
        self._registry = registry
        self._open: set[Visit] = set()
        self._calls = Counter[str]()

    @contextlib.asynccontextmanager
    async def visit(self, context: Context) -> AsyncIterator[Visit]:
        """Let the caller of a TLS session in.

        Raises:
            Refused: its gateway is locked, revoked, or taken over by another box, has too many
                calls open, or its certificate names none.
        """
        visit = Visit(caller(context))
        if not GATEWAY_PATTERN.fullmatch(visit.who.name):
            raise _nobody()
        if self._calls[visit.who.name] >= MOST_CALLS:
            raise _too_many(visit.who.name)
        self._calls[visit.who.name] += 1
        self._open.add(visit)  # before the look: what is decided meanwhile reaches it too
        try:
            refusal = await self._registry(lambda registry: judge(registry, visit.who))
            if refusal is not None:
                _log.warning("gateway_refused", gateway=visit.who.name, code=refusal.code)
                raise refusal
            yield visit
        finally:
            self._open.discard(visit)
            self._calls[visit.who.name] -= 1
            if not self._calls[visit.who.name]:
                del self._calls[visit.who.name]

    async def look(self) -> None:
        """End the sessions of those that may not stay. The next look finds what changes now."""
        visits = [*self._open]
        verdicts = await self._registry(
            lambda registry: [judge(registry, visit.who) for visit in visits]
        )
        for visit, refusal in zip(visits, verdicts, strict=True):
            if refusal is not None:
                visit.refusal = refusal
                visit.over.set()

    async def watch(self) -> None:
        """Look again whenever the registry changed, by whoever's hand.

        While its database is away nobody comes in, and who is in stays.
        """
        before, away = None, False
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                now = await self._registry(_state)
                if now != before:
                    await self.look()
            except StoreAway as error:
                if not away:
                    _log.error("registry_away", error=str(error), hint=error.hint)
                away = True
                continue
            before, away = now, False


def judge(registry: Registry, who: Caller) -> Refused | None:
    """Give why `who` may not come, None if it may."""
    with registry.reading() as db:
        shut = gateways.denied(db, who.name)
        if shut is not None:
            return shut.refusal()
        known = gateways.get(db, who.name)
        if known is not None and who.generation < known.floor:
            return replaced(who.name)
    return None


def _nobody() -> Refused:
    return Refused(
        "name",
        "UNAUTHENTICATED",
        "the certificate's common name is no gateway id",
        hint="enroll the box, or make its certificate by: forebay-fleet ca issue --gateway ID",
    )


def _too_many(name: str) -> Refused:
    return Refused(
        "busy",
        "RESOURCE_EXHAUSTED",
        f"{name} has {MOST_CALLS} calls open",
        hint="is more than one box running with its certificate?",
    )


def _state(registry: Registry) -> tuple[object, ...]:
    """Give what tells one state of affairs from another: those shut out, and floors above 0."""
    shut = registry.rows("SELECT name, since_ns FROM denied ORDER BY name")
    floors = registry.rows("SELECT name, floor FROM gateways WHERE floor > 0 ORDER BY name")
    return (*shut, *floors)
