"""A staged configuration runs on trial, and is kept or goes again.

Owns the way from STAGED to COMMITTED or ROLLED_BACK: intent on record, the trial on disk, the
change, the judging, the way back. One change at a time (`turn`). Must not know where offers come
from, nor what a good configuration is (`probation`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from forebay.config.attempts import Phase
from forebay.errors import ForebayError, RequestFailed
from forebay.management.book import BOOTS, Trial
from forebay.management.booting import Running
from forebay.management.probation import Baseline, Probation, baseline

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.config.load import LoadedConfig
    from forebay.interfaces import Seams
    from forebay.management.book import Book
    from forebay.management.booting import Booting
    from forebay.management.notes import Notes
    from forebay.management.probation import Verdict
    from forebay.management.views import Live, Vitals

LOOK_S = 1.0
WINDOW_LOOKS = 30
"""Looks that the baseline is taken from."""
APPLY_S = 60.0
"""How long the parts that change may take to end and begin."""
GRACE_S = 600.0
"""How long after its probation a trial that was cut off may still be gone on with."""


class Staged(NamedTuple):
    """What an attempt made ready."""

    attempt: int
    generation: int
    hash: str
    source: str


class Trying:
    """Changes what runs, on trial."""

    def __init__(
        self,
        boot: Booting,
        live: Live,
        notes: Notes,
        seams: Seams,
        memory_limit: Callable[[], int | None],
    ) -> None:
        """Touch nothing; `memory_limit` gives the most memory that may be taken, in bytes."""
        self._boot, self._live, self._notes, self._seams = boot, live, notes, seams
        self._memory_limit = memory_limit
        self._looks: deque[Vitals] = deque(maxlen=WINDOW_LOOKS)
        self._probation: Probation | None = None
        self._since_s = seams.clock.monotonic_s()
        self._before: LoadedConfig | None = None
        """What ran before the trial, as it was loaded; None after a start."""
        self.turn = asyncio.Lock()
        """Held while what runs is being changed."""

    def left_s(self) -> float:
        """Give how long what is on trial has still to prove itself, 0 for nothing."""
        trial = self._notes.book.trial
        if trial is None:
            return 0.0
        return max(0.0, trial.probation_s - (self._seams.clock.monotonic_s() - self._since_s))

    def working(self) -> list[str]:
        """Give the parts that give data now, or have it taken, as "device press"."""
        if not self._looks:
            return []
        before = baseline(list(self._looks))
        devices = [f"device {name}" for name, one in before.devices.items() if one.good]
        return devices + [f"uplink {name}" for name in before.acking]

    async def resume(self) -> None:
        """Go on with a trial that a start found, from its beginning."""
        book, running = self._notes.book, self._boot.running.generation
        if book.running != running:  # what the start could not note
            why, now_ns = "a start could not be counted or loaded", self._seams.clock.now_ns()
            await self._notes.change_anyway(
                lambda b: b.roll_back(why, "", now_ns, 0.0) if b.trial else b.fall_back(running)
            )
        elif book.trial is not None:
            await self._notes.phase(book.trial.attempt, Phase.PROBATION)
            self._judge(book.trial)

    async def watch(self) -> None:
        """Look once a second; end a trial as soon as its verdict is certain."""
        while True:
            look = self._live.vitals()
            async with self.turn:
                self._looks.append(look)
                trial, probation = self._notes.book.trial, self._probation
                if trial is not None and probation is not None:
                    await self._judged(trial, probation.look(look))
            await self._seams.clock.sleep(LOOK_S)

    # --- forward; with `turn` held ----------------------------------------------------------------

    async def switch(self, staged: Staged) -> None:
        """Have a staged configuration run, and begin its trial."""
        book, id_ = self._notes.book, staged.attempt
        if staged.generation == book.running and staged.hash == self._boot.running.hash:
            await self._nothing(id_)
            return
        if book.trial is not None and staged.generation == book.committed:
            await self.back("a newer offer brings back what ran before", "", Phase.SUPERSEDED)
            await self._nothing(id_)
            return
        try:
            loaded = await asyncio.to_thread(self._boot.one, staged.generation)
            await self._notes.intend(id_)
            await self._begin_trial(staged, self._length_s(loaded))
        except ForebayError as error:
            await self._notes.end(id_, Phase.FAILED, str(error), error.hint, deny=False)
            return
        except Exception as error:  # noqa: BLE001 - as below: it ends no agent
            await self._notes.end(id_, Phase.FAILED, f"it could not be begun: {error!r}", "")
            return
        with suppress(Exception):
            # Through `current` from now on: what is not touched reads its files there later, too.
            loaded = await asyncio.to_thread(self._boot.one, staged.generation)
        self._boot.running = Running(staged.generation, staged.hash, staged.source)
        await self._apply(loaded)

    def _length_s(self, loaded: LoadedConfig) -> float:
        """Give how long `loaded` has to prove itself: no configuration makes it shorter for itself.

        What is not proved yet has no say in it, but what runs, or ran before the trial.
        """
        trial, running = self._notes.book.trial, self._live.loaded.config.fleet.probation
        return max(loaded.config.fleet.probation, running if trial is None else trial.probation_s)

    async def _begin_trial(self, staged: Staged, length_s: float) -> None:
        """Put the trial on disk, in place of one that goes on. Raises RequestFailed."""
        book, clock = self._notes.book, self._seams.clock
        if book.trial is not None:
            before = book.trial.baseline
        else:
            before = baseline(list(self._looks) or [self._live.vitals()]).to_json()
            self._before = self._live.loaded
        left_ns = round((length_s + GRACE_S) * 1e9)
        trial = Trial(
            attempt=staged.attempt,
            generation=staged.generation,
            previous=book.committed,
            boots_left=BOOTS,
            probation_s=length_s,
            boot_id=clock.boot_id,
            deadline_boottime_ns=clock.boottime_ns() + left_ns,
            deadline_wall_ns=clock.now_ns() + left_ns,
            baseline=before,
        )
        await self._notes.change(lambda b: _given_up(b, clock.now_ns()).put_on_trial(trial))

    async def _apply(self, loaded: LoadedConfig) -> None:
        """Have the agent run what is on trial, and begin to judge it."""
        trial = self._notes.book.trial
        assert trial is not None
        try:
            async with asyncio.timeout(APPLY_S):
                applied = await self._live.apply(loaded)
        except TimeoutError:
            await self.back(f"it was not running after {APPLY_S:g} s", "see the log", anew=True)
            return
        except Exception as error:  # noqa: BLE001 - an adapter that cannot be built ends no agent
            await self.back(f"it could not be begun: {error}", getattr(error, "hint", ""))
            return
        await self._notes.phase(trial.attempt, Phase.PROBATION, changed=applied.changed)
        if applied.restart:
            self._live.again()
        else:
            self._judge(trial)

    def _judge(self, trial: Trial) -> None:
        start = self._live.vitals()
        self._since_s = start.monotonic_s
        before = Baseline.from_json(trial.baseline)
        self._probation = Probation(before, start, trial.probation_s, self._memory_limit())

    async def _judged(self, trial: Trial, verdict: Verdict) -> None:
        if verdict.kind == "bad":
            await self.back("; ".join(verdict.reasons), "correct it, and offer it again")
        elif verdict.kind == "good":
            now_ns, took_s = self._seams.clock.now_ns(), self._notes.took_s(trial.attempt)
            try:
                await self._notes.change(lambda b: b.commit(now_ns, took_s, verdict.remarks))
            except RequestFailed:
                return  # the disk is full: it stays on trial until it can be noted
            self._probation, self._before = None, None
            await self._notes.told(trial.attempt)

    # --- back; with `turn` held -------------------------------------------------------------------

    async def back(
        self, error: str, hint: str, phase: Phase = Phase.ROLLED_BACK, *, anew: bool = False
    ) -> None:
        """Have what ran before the trial run again; `anew`: all of the agent begins again."""
        trial = self._notes.book.trial
        assert trial is not None
        now_ns, took_s = self._seams.clock.now_ns(), self._notes.took_s(trial.attempt)
        deny = phase is Phase.ROLLED_BACK
        self._probation = None
        self._looks.clear()
        after = await self._notes.change_anyway(
            lambda b: b.roll_back(error, hint, now_ns, took_s, deny=deny).note(
                trial.attempt, phase=phase
            )
        )
        loaded, self._before = self._before, None
        try:
            if loaded is None:
                loaded = await asyncio.to_thread(self._boot.one, trial.previous)
        except ForebayError:
            anew = True  # a start finds what else there is
        else:
            kept = after.kept.get(trial.previous)
            hash_ = kept.hash if kept else await asyncio.to_thread(self._boot.file_hash)
            source = kept.source if kept else "file"
            self._boot.running = Running(trial.previous, hash_, source)
            anew = anew or await self._undo(loaded)
        await self._notes.told(trial.attempt)
        if anew:
            self._live.again()

    async def _undo(self, loaded: LoadedConfig) -> bool:
        """Run `loaded` again; give whether everything has to begin anew for that."""
        try:
            async with asyncio.timeout(APPLY_S):
                return (await self._live.apply(loaded)).restart
        except Exception:  # noqa: BLE001 - it ran before: a beginning from scratch will do
            return True

    async def _nothing(self, id_: int) -> None:
        """End an attempt that is what runs already; of a trial, the verdict is its verdict too."""
        trial, now_ns = self._notes.book.trial, self._seams.clock.now_ns()
        if trial is not None:
            await self._notes.change_anyway(lambda b: _handed_on(b, id_, now_ns))
            return
        remarks = ("it runs already: nothing was changed",)
        await self._notes.change_anyway(
            lambda b: b.note(
                id_,
                phase=Phase.COMMITTED,
                generation=b.running,
                ended_ns=now_ns,
                remarks=remarks,
            )
        )
        await self._notes.told(id_)


def _given_up(book: Book, now_ns: int) -> Book:
    """Give up the trial that goes on, if there is one, for a newer configuration."""
    if book.trial is None:
        return book
    error = "a newer configuration took its place"
    return book.note(book.trial.attempt, phase=Phase.SUPERSEDED, error=error, ended_ns=now_ns)


def _handed_on(book: Book, id_: int, now_ns: int) -> Book:
    """Make the trial that goes on another attempt's: it was offered again meanwhile."""
    trial = book.trial
    assert trial is not None
    error = "it was offered again, and goes on"
    after = book.note(trial.attempt, phase=Phase.SUPERSEDED, error=error, ended_ns=now_ns)
    after = replace(after, trial=replace(trial, attempt=id_))
    return after.note(id_, phase=Phase.PROBATION, generation=trial.generation)
