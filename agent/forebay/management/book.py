"""What the box knows of its configurations: which runs, which is on trial, what became of others.

Owns the steps from one such state to the next, and its form on disk. Pure: whoever writes a book to
disk before acting on it is safe against a power cut at any point (`management.generations`). Must
not know disks, clocks or the running agent.

A generation is a number; FILE (0) stands for the file that a person wrote, which is never copied.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from forebay.config.attempts import Attempt, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = 0
BOOTS = 3
"""Starts that a configuration on trial gets."""
ROLLBACK = "rollback-"
"""What the offer of somebody who goes back is called by."""
CUT_OFF = "the agent ended before it was tried"
CUT_OFF_AGAIN = f"the agent ended {BOOTS} times while it was being checked"
MAX_ATTEMPTS = 50
MAX_DENIED = 100
MAX_KEPT = 10
"""Generations that stay on disk."""
MAX_TEXT_CHARACTERS = 1_000
MAX_CHANGED = 1_100
VERSION = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """A generation that runs, and has not proved itself. `previous` runs if it does not.

    `boots_left` more starts of the agent may try it. Its deadline is kept on the clock since boot,
    which nobody sets, for as long as `boot_id` is the machine's, and on the wall clock.
    """

    attempt: int
    generation: int
    previous: int
    boots_left: int
    probation_s: float
    boot_id: str
    deadline_boottime_ns: int
    deadline_wall_ns: int
    baseline: Mapping[str, Any]

    def over(self, boot_id: str, boottime_ns: int, wall_ns: int) -> bool:
        """Whether its time is up."""
        if boot_id == self.boot_id:
            return boottime_ns > self.deadline_boottime_ns
        return wall_ns > self.deadline_wall_ns


@dataclass(frozen=True, slots=True)
class Kept:
    """A generation on disk. `proved` if it was committed once."""

    hash: str
    source: str
    proved: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """A configuration that failed under this offer; another offer may bring it again."""

    hash: str
    offer_id: str


@dataclass(frozen=True, slots=True)
class Book:
    """All of it. `running` is what runs, or will at the next start."""

    running: int = FILE
    next: int = 1
    """Number of the next generation."""
    next_attempt: int = 1
    trial: Trial | None = None
    kept: Mapping[int, Kept] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    """Oldest first, at most MAX_ATTEMPTS."""
    denied: tuple[Denied, ...] = ()
    desired: Denied | None = None
    """What was offered last, whatever became of it."""

    @property
    def committed(self) -> int:
        """The generation that ran last and had proved itself: to which a trial goes back."""
        return self.trial.previous if self.trial else self.running

    def attempt(self, id_: int) -> Attempt | None:
        """Give an attempt by its id."""
        return next((one for one in self.attempts if one.id == id_), None)

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    def refuses(self, hash_: str, offer_id: str) -> bool:
        """Whether this failed before, under this very offer."""
        return Denied(hash_, offer_id) in self.denied

    def begin(
        self, hash_: str, offer_id: str, source: str, who: str, reason: str, now_ns: int
    ) -> Book:
        """Begin an attempt, RECEIVED."""
        attempt = Attempt(
            self.next_attempt,
            hash_,
            offer_id,
            source,
            who,
            reason[:MAX_TEXT_CHARACTERS],
            Phase.RECEIVED,
            now_ns,
            was=self.committed,
        )
        return replace(
            self,
            next_attempt=self.next_attempt + 1,
            attempts=(*self.attempts, attempt)[-MAX_ATTEMPTS:],
            desired=Denied(hash_, offer_id),
        )

    def note(self, id_: int, **changes: Any) -> Book:  # noqa: ANN401 - fields of Attempt
        """Change an attempt; texts and lists are cut to what a report may hold."""
        for name in ("error", "hint"):
            if name in changes:
                changes[name] = changes[name][:MAX_TEXT_CHARACTERS]
        for name in ("changed", "remarks"):
            if name in changes:
                changes[name] = tuple(changes[name])[:MAX_CHANGED]
        return replace(
            self,
            attempts=tuple(replace(a, **changes) if a.id == id_ else a for a in self.attempts),
        )

    def keep(self, number: int, hash_: str, source: str) -> Book:
        """Note a generation that is whole on disk: number `next`, which is not used again."""
        kept = {**self.kept, number: Kept(hash_, source)}
        return replace(self, next=max(self.next, number + 1), kept=kept)

    def put_on_trial(self, trial: Trial) -> Book:
        """Have the trial's generation run from now on. A trial that goes on is given up for it."""
        return replace(self, running=trial.generation, trial=trial).note(
            trial.attempt,
            phase=Phase.APPLYING,
            generation=trial.generation,
            was=trial.previous,
        )

    def booted(self) -> Book:
        """Count a start of the agent. Only with a trial that has boots left."""
        assert self.trial is not None
        assert self.trial.boots_left > 0
        return replace(self, trial=replace(self.trial, boots_left=self.trial.boots_left - 1))

    def commit(self, now_ns: int, took_s: float, remarks: tuple[str, ...] = ()) -> Book:
        """End the trial well. Generations beyond MAX_KEPT are let go, the oldest first."""
        assert self.trial is not None
        trial, kept = self.trial, dict(self.kept)
        if trial.generation in kept:
            kept[trial.generation] = replace(kept[trial.generation], proved=True)
        after = replace(self, trial=None, kept=kept)
        after = after.note(
            trial.attempt,
            phase=Phase.COMMITTED,
            ended_ns=now_ns,
            took_s=took_s,
            remarks=remarks,
        )
        return after.bounded()

    def roll_back(
        self, error: str, hint: str, now_ns: int, took_s: float, *, deny: bool = True
    ) -> Book:
        """End the trial badly: what ran before runs. The hash is denied under this offer."""
        assert self.trial is not None
        trial = self.trial
        after = replace(self, trial=None, running=trial.previous)
        attempt = self.attempt(trial.attempt)
        after = after.note(
            trial.attempt,
            phase=Phase.ROLLED_BACK,
            error=error,
            hint=hint,
            ended_ns=now_ns,
            took_s=took_s,
        )
        if deny and attempt is not None:
            after = after.deny(attempt.hash, attempt.offer_id)
        return after.bounded()

    def deny(self, hash_: str, offer_id: str) -> Book:
        """Refuse this hash under this offer from now on."""
        if self.refuses(hash_, offer_id):
            return self
        return replace(self, denied=(*self.denied, Denied(hash_, offer_id))[-MAX_DENIED:])

    def fall_back(self, number: int) -> Book:
        """Have another generation run because the one that ran is damaged."""
        return replace(self, running=number, trial=None)

    def bounded(self) -> Book:
        """Let go of the oldest generations beyond MAX_KEPT, but never of one that may run."""
        needed = {self.running, self.committed}
        spare = [number for number in sorted(self.kept) if number not in needed]
        # What never proved itself is of no use to anybody, and goes first.
        spare.sort(key=lambda number: (self.kept[number].proved, number))
        gone = set(spare[: max(0, len(self.kept) - MAX_KEPT)])
        return replace(self, kept={n: one for n, one in self.kept.items() if n not in gone})

    def before(self) -> int:
        """Give what a person goes back to: the newest that proved itself and is not running."""
        attempts = [one for one in self.attempts if one.phase is Phase.COMMITTED]
        for attempt in reversed(attempts):
            way_back = attempt.offer_id.startswith(ROLLBACK)
            mine = attempt.generation == self.running and attempt.was != self.running
            if mine and not way_back and self._there(attempt.was):
                return attempt.was
        proved = [n for n, one in self.kept.items() if one.proved and n < self.running]
        return max(proved, default=FILE)

    def _there(self, number: int) -> bool:
        return number == FILE or (number in self.kept and self.kept[number].proved)


def cut_off(book: Book, id_: int, now_ns: int) -> Book:
    """End an attempt that a start found open, before its trial.

    One whose files were all here (`generation`) was being checked: what ends the agent then as
    often as BOOTS is denied. One that was still being fetched is asked for again, for ever.
    """
    after = book.note(
        id_, phase=Phase.FAILED, error=CUT_OFF, hint="offer it again", ended_ns=now_ns
    )
    mine = after.attempt(id_)
    if mine is None or not mine.generation:
        return after
    same = [
        one
        for one in after.attempts
        if (one.hash, one.offer_id, one.error) == (mine.hash, mine.offer_id, CUT_OFF)
        and one.generation
    ]
    if len(same) < BOOTS:
        return after
    hint = "correct it, and offer it again: it may be too large for this machine"
    return after.note(id_, error=CUT_OFF_AGAIN, hint=hint).deny(mine.hash, mine.offer_id)


def encode(book: Book) -> bytes:
    """Give the content of a file: JSON, and a hash against rot."""
    body = json.dumps(asdict(book), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"version": VERSION, "sha256": digest, "body": body}).encode()


def decode(data: bytes) -> Book:
    """Read what `encode` gave. ValueError, KeyError, TypeError or AttributeError otherwise."""
    outer = json.loads(data)
    if outer["version"] != VERSION:
        raise ValueError(f"its version is {outer['version']}, and this agent knows {VERSION}")
    body: str = outer["body"]
    if hashlib.sha256(body.encode()).hexdigest() != outer["sha256"]:
        raise ValueError("its checksum does not match")
    inner = json.loads(body)
    return Book(
        running=inner["running"],
        next=inner["next"],
        next_attempt=inner["next_attempt"],
        trial=_read(Trial, inner["trial"]),
        kept={int(number): _made(Kept, one) for number, one in inner["kept"].items()},
        attempts=tuple(_attempt(one) for one in inner["attempts"]),
        denied=tuple(_made(Denied, one) for one in inner["denied"]),
        desired=_read(Denied, inner["desired"]),
    )


_Made = TypeVar("_Made", Trial, Kept, Denied)


def _made(kind: type[_Made], inner: dict[str, Any]) -> _Made:
    """Make one of what a file says; what a newer agent wrote beside is passed over."""
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in inner.items() if name in known})


def _read(kind: type[_Made], inner: dict[str, Any] | None) -> _Made | None:
    return None if inner is None else _made(kind, inner)


def _attempt(inner: dict[str, Any]) -> Attempt:
    known = {one.name for one in fields(Attempt)}
    values = {name: value for name, value in inner.items() if name in known}
    values["phase"] = Phase(values["phase"])
    values["changed"], values["remarks"] = tuple(values["changed"]), tuple(values["remarks"])
    return Attempt(**values)
