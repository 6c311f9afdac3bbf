"""Updates of the agent itself: a new version is put into the other slot, and proves itself there.

    offered ──▶ slot filled and tried ──▶ trial, durable ──▶ stop in order; the launcher begins it
    begun on trial: data flows as before for 10 min ──▶ kept, else back, by the launcher again

Owns what of `STATE/slots` a running agent changes. Must not know where archives come from, nor
what a good version is (`probation`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from forebay import __version__
from forebay.cancellation import through
from forebay.errors import RequestFailed, RequestInvalid
from forebay.launcher.book import BOOTS, FOLDER, INSTALLED, Package, Slots, Trial
from forebay.management import filling
from forebay.management.events import UPDATE_ENDED, UPDATE_STAGED
from forebay.management.probation import Baseline, Probation, baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.launcher.book import Book
    from forebay.management.probation import Verdict
    from forebay.management.views import Live, Vitals

LOOK_S = 1.0
WINDOW_LOOKS = 30
BEFORE = "before.json"
"""What worked when the agent stopped last: for an update that was staged beside it."""
MAX_BEFORE_BYTES = 1 << 20
AS_INSTALLED = "installed"
"""What the launcher says of itself where it runs what it was installed with."""
NO_LAUNCHER = "start it by `python -I -m forebay.launcher run`, as the unit forebay.service does"


def other(current: str) -> str:
    """Give the slot that may be filled while `current` runs."""
    return "b" if current == "a" else "a"


def stage(slots: Slots, trial: Trial, archive: Path, config: Path | None) -> str:
    """Fill the slot of `trial` with the archive, and put it on trial; give its version. Blocks.

    Raises RequestInvalid, RequestFailed; nothing is on trial then.
    """
    with alone(slots):
        return _stage(slots, trial, archive, config)


@contextlib.contextmanager
def alone(slots: Slots) -> Iterator[None]:
    """Have no other process fill a slot, or change the book. Raises RequestFailed."""
    try:
        held = slots.lock()
    except OSError as error:
        raise RequestFailed(f"{slots.folder}: {error.strerror}", hint="check the disk") from error
    if held is None:
        raise RequestFailed("another update is under way", hint="try again when it has ended")
    try:
        yield
    finally:
        held.close()


def _stage(slots: Slots, trial: Trial, archive: Path, config: Path | None) -> str:
    package, book = trial.package, slots.read()
    if book.trial is not None or book.current != trial.previous:
        # Else what runs, or what was proved, would be filled with something else.
        raise RequestFailed("another update has been put in place", hint="offer it again")
    version = filling.fill(slots.folder, trial.slot, archive, config)
    if package.version and version != package.version:
        text = f"it is version {version}, and {package.version} was offered"
        raise RequestInvalid(text, hint="offer it anew under its own version")
    named = replace(trial, package=replace(package, version=version))
    try:
        slots.write(slots.read().put_on_trial(named))
    except OSError as error:
        raise RequestFailed(
            f"the trial could not be noted: {error.strerror}", hint="check the disk"
        ) from error
    return version


class AgentSlots:
    """Of one running agent. `run` until cancelled."""

    def __init__(
        self,
        state: Path,
        mine: str | None,
        live: Live,
        seams: Seams,
        leave: Callable[[], None],
    ) -> None:
        """`mine` is what the launcher said (FOREBAY_SLOT), None without one.

        `leave` stops the agent in order; its supervisor begins the launcher again.
        """
        self._mine = INSTALLED if mine == AS_INSTALLED else mine
        self._live, self._seams, self._leave = live, seams, leave
        self._slots = Slots(state / FOLDER, seams.disk)
        self._looks: deque[Vitals] = deque(maxlen=WINDOW_LOOKS)
        self._probation: Probation | None = None
        self._busy = asyncio.Lock()
        self.memory_limit: Callable[[], int | None] = lambda: None
        """Gives the most memory that may be taken, bytes."""
        self.config: Callable[[], Path | None] = lambda: None
        """Gives the configuration that runs, which another version must be able to load."""

    def book(self) -> Book:
        """Give what the slots say. Blocks."""
        return self._slots.read()

    async def settled(self) -> bool:
        """Whether no version is on trial."""
        return (await asyncio.to_thread(self.book)).trial is None

    async def offer(self, version: str, archive: Path, offer_id: str) -> None:
        """Have another version run on trial; the agent stops in order when it is ready.

        One that failed under the same `offer_id` is not tried again. `version` empty: whatever
        the archive is.

        Raises:
            RequestInvalid: it is no agent for this machine, or was denied.
            RequestFailed: it cannot be now.
        """
        if self._mine is None:
            raise RequestFailed("no launcher has begun this agent", hint=NO_LAUNCHER)
        async with self._busy:
            book = await asyncio.to_thread(self.book)
            if book.trial is not None:
                text = f"version {book.trial.package.version} is on trial"
                raise RequestFailed(text, hint="offer it again when that has ended")
            target = other(book.current)
            if target == self._mine:
                raise RequestFailed("the agent goes back just now", hint="offer it again then")
            archive_hash = await asyncio.to_thread(filling.digest, archive)
            before = book.denied(archive_hash, offer_id)
            if before is not None:
                text = f"this update failed before: {before.reason}"
                raise RequestInvalid(text, hint="mend it, and offer it anew")
            trial = Trial(
                slot=target,
                previous=book.current,
                package=Package(version, archive_hash, offer_id),
                probation_s=self._live.loaded.config.fleet.update_probation,
                baseline=baseline(list(self._looks) or [self._live.vitals()]).to_json(),
            )
            # Half of it would be a trial that begins with whatever start comes next.
            await through(self._staged(trial, archive), "slots.stage")

    async def _staged(self, trial: Trial, archive: Path) -> None:
        """Put an archive on trial, and have the agent stop for it."""
        # What is left out now would stop a check, and is no fault of the version.
        config = None if self._live.loaded.quarantined else self.config()
        version = await asyncio.to_thread(stage, self._slots, trial, archive, config)
        self._seams.events.emit(UPDATE_STAGED, version=version, running=__version__)
        self._leave()

    async def run(self) -> None:
        """Look once a second; prove what is on trial, or go back."""
        trial = (await asyncio.to_thread(self.book)).trial
        if trial is not None and trial.slot == self._mine:
            self._begin(trial)
        elif trial is not None and self._mine is not None and trial.boots_left < BOOTS:
            # The launcher could not note that it went back, or could not begin the trial.
            await self._end(trial.slot, kept=False, reason="it could not be started")
        elif trial is None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        try:
            while True:
                look = self._live.vitals()
                self._looks.append(look)
                if self._probation is not None:
                    await self._judged(self._probation.look(look))
                await self._seams.clock.sleep(LOOK_S)
        finally:
            self._remember()

    def _begin(self, trial: Trial) -> None:
        limit = self.memory_limit()
        start = self._live.vitals()
        told = _baseline(trial.baseline) if trial.baseline else None
        before = told or _baseline(self._before())
        assert before is not None
        self._probation = Probation(before, start, trial.probation_s, limit)

    async def _judged(self, verdict: Verdict) -> None:
        mine = self._mine or INSTALLED
        if verdict.kind == "bad":
            self._probation = None
            await self._end(mine, kept=False, reason="; ".join(verdict.reasons)[:500])
            self._leave()
        elif verdict.kind == "good" and await self._end(mine, kept=True, reason=""):
            self._probation = None
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    async def _end(self, slot: str, *, kept: bool, reason: str) -> bool:
        """End the trial of `slot` on disk; give whether that could be noted."""
        now_ns = self._seams.clock.now_ns()

        def change() -> Book | None:
            with alone(self._slots):
                book = self._slots.read()
                if book.trial is None or book.trial.slot != slot:
                    return None
                after = book.keep(now_ns) if kept else book.give_up(reason, now_ns)
                self._slots.write(after)
                return after

        try:
            after = await asyncio.to_thread(change)
        except (OSError, RequestFailed):
            return False  # it stays on trial until it can be noted; its starts are counted
        if after is not None:
            package = after.outcomes[-1].package
            self._seams.events.emit(UPDATE_ENDED, version=package.version, kept=kept, reason=reason)
        return True

    # --- what worked before, for an update that is staged beside a running agent ------------------

    def _remember(self) -> None:
        if self._mine is None or not self._looks:
            return
        told = json.dumps(baseline(list(self._looks)).to_json()).encode()
        with contextlib.suppress(OSError):  # it would only have helped to judge
            self._seams.disk.makedirs(self._slots.folder)
            self._seams.disk.write_atomic(self._slots.folder / BEFORE, told)

    def _before(self) -> dict[str, object]:
        try:
            path = self._slots.folder / BEFORE
            found: dict[str, object] = json.loads(
                self._seams.disk.read_bytes(path, MAX_BEFORE_BYTES)
            )
        except (OSError, ValueError):
            return {}
        return found if _baseline(found) is not None else {}


def _baseline(told: dict[str, object]) -> Baseline | None:
    """Read what worked before; None if it is none, as where another version says it otherwise."""
    try:
        return Baseline.from_json(told)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
