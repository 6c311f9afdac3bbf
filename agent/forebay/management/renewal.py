"""Keeps the certificate of an enrolled box fresh, for as long as the agent runs.

Owns when: at half of a certificate's time with some chance in it, at once when the server or an
operator asks, and never faster than the back-off. Whether a certificate has expired is the server's
to say: this box's clock may be wrong, and the bound key serves once. Reading and journaling go on
whatever becomes of it. Must not know what a certificate is asked by (`certifying`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.errors import FleetRefused, FleetUnavailable, IdentityUnusable
from forebay.identity import FOLDER, IdentityStore
from forebay.management.events import (
    IDENTITY_FAILED,
    IDENTITY_LOST,
    IDENTITY_RECOVERED,
    IDENTITY_REFUSED,
    IDENTITY_RENEWED,
)
from forebay.settings import BackoffSettings

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from forebay.errors import FleetError
    from forebay.identity import Identity
    from forebay.interfaces import Seams

LOOK_S = 5.0
"""How soon an enrollment by a command is noticed, at most."""
BACKOFF = BackoffSettings(first=2.0, most=600.0)
"""Between attempts that got no answer."""
REFUSED = BackoffSettings(first=60.0, most=600.0)
"""Between attempts after a no: a person must act first."""
FIRST, SPREAD = 0.5, 0.1
"""The share of its time after which a certificate is renewed, and how much later by chance."""
MAX_ASKED_WAIT_S = 3600.0


def renew_at_s(begin: datetime, end: datetime, draw: float) -> float:
    """Give when to renew, s since 1970; `draw` is uniform in [0, 1).

    Between 50 and 60 % of the certificate's time, so that boxes that were enrolled together do not
    come together; what a failed attempt costs is then still a third of the time.
    """
    whole_s = (end - begin).total_seconds()
    return begin.timestamp() + whole_s * (FIRST + SPREAD * draw)


class Renewal:
    """Of one agent. `run` until cancelled."""

    def __init__(self, state: Path, seams: Seams) -> None:
        """Touch nothing yet."""
        self._store = IdentityStore(state / FOLDER, seams.disk)
        self._seams = seams
        self._draw = seams.rng.random()
        self._failures = 0
        self._not_before_s = self._fresh_until_s = 0.0
        self._asked = asyncio.Event()
        self._told = ""
        self.identity: Identity | None = None
        """As last seen on disk; None until the box is enrolled."""

    def renew_now(self) -> None:
        """Renew at the next occasion, as a server asks (RENEW_CERTIFICATE); the back-off stays."""
        self._asked.set()

    async def run(self) -> None:
        """Look again and again: the files may change by a command's hand."""
        while True:
            wait_s = await self._look()
            sleeping = asyncio.create_task(self._seams.clock.sleep(wait_s), name="renewal.sleep")
            asked = asyncio.create_task(self._asked.wait(), name="renewal.asked")
            try:
                # Asked for before the back-off has ended, it waits like everything else.
                held = self._asked.is_set()
                await asyncio.wait(
                    (sleeping,) if held else (sleeping, asked), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                sleeping.cancel()
                asked.cancel()
                await asyncio.wait((sleeping, asked))

    async def _look(self) -> float:
        """Do what is due; give how long to wait, s."""
        now_s = self._seams.clock.monotonic_s()
        try:
            before = self.identity
            self.identity = await asyncio.to_thread(self._store.current)
            if self.identity is None:
                return LOOK_S
            if before is not None and before.certificate != self.identity.certificate:
                self._good()  # a command enrolled it anew
            if now_s < self._not_before_s:
                return min(self._not_before_s - now_s, LOOK_S)
            return await self._serve(self.identity)
        except IdentityUnusable as error:
            self._tell(error)
        except Exception as error:  # noqa: BLE001 - the supervisor: no certificate is worth the data
            self._failed(FleetUnavailable(f"a defect of the agent: {error!r}", hint="report it"))
        return LOOK_S

    async def _serve(self, identity: Identity) -> float:
        """Renew or recover if it is time; give how long to wait then, s."""
        begin, end = identity.valid()
        now_s = self._seams.clock.now_ns() / 1e9
        fresh = self._seams.clock.monotonic_s() < self._fresh_until_s
        # Not yet valid: its clock is slow, or that of the server which signed was ahead.
        good = begin.timestamp() <= now_s < end.timestamp()
        due_s = renew_at_s(begin, end, self._draw)
        pending = await asyncio.to_thread(self._store.pending)
        begun = pending is not None and pending.generation == identity.generation
        due = (now_s >= due_s or not good) and not fresh
        if not (due or begun or self._asked.is_set()):
            return LOOK_S if fresh else min(due_s - now_s, LOOK_S)
        lock = await asyncio.to_thread(self._store.lock)
        if lock is not None:  # else a command is at it
            try:
                await self._attempt(good=good)
            finally:
                lock.close()
        return LOOK_S

    async def _attempt(self, *, good: bool) -> None:
        from forebay.management import certifying

        identity = await asyncio.to_thread(self._store.current)  # once more, under the lock
        if identity is None:
            return
        event = IDENTITY_RENEWED
        try:
            try:
                self.identity = await certifying.renew(self._store, identity)
            except FleetUnavailable:
                if good:
                    raise
                event = IDENTITY_RECOVERED
                self.identity = await certifying.recover(self._store, identity)
        except (FleetRefused, FleetUnavailable, IdentityUnusable) as error:
            self._failed(error)
            return
        self._asked.clear()
        self._good()
        begin, end = self.identity.valid()
        now_s = self._seams.clock.now_ns() / 1e9
        if not begin.timestamp() <= now_s < renew_at_s(begin, end, self._draw):
            # It is fresh, so the clock is wrong: time alone says when the next one is due.
            held_s = FIRST * (end - begin).total_seconds()
            self._fresh_until_s = self._seams.clock.monotonic_s() + held_s
        self._seams.events.emit(
            event, generation=self.identity.generation, until=f"{end:%Y-%m-%dT%H:%M:%SZ}"
        )

    def _failed(self, error: FleetError) -> None:
        self._failures += 1
        curve = REFUSED if isinstance(error, FleetRefused) else BACKOFF
        asked_s = getattr(error, "wait_s", None) or 0.0
        wait_s = curve.wait_s(self._failures, self._seams.rng.random())
        wait_s += min(asked_s, MAX_ASKED_WAIT_S)
        self._not_before_s = self._seams.clock.monotonic_s() + wait_s
        self._tell(error)

    def _good(self) -> None:
        self._failures, self._not_before_s, self._told = 0, 0.0, ""
        self._fresh_until_s = 0.0
        self._draw = self._seams.rng.random()

    def _tell(self, error: FleetError) -> None:
        """Tell each kind of trouble once, until it is over."""
        code = error.code if isinstance(error, FleetRefused) else type(error).__name__
        if code == self._told:
            return
        self._told = code
        event = IDENTITY_FAILED
        if isinstance(error, FleetRefused):
            event = IDENTITY_REFUSED
        elif isinstance(error, IdentityUnusable):
            event = IDENTITY_LOST
        fields = {"code": code} if event is IDENTITY_REFUSED else {}
        self._seams.events.emit(event, error=str(error), hint=error.hint, **fields)
