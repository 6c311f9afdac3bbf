"""Which slot runs, and what a start does to that: the state of STATE/slots, and its planning.

    a/, b/       each a whole private environment; see `whole`
    book.json    what runs, what is on trial, what became of the last trials; replaced by one rename
    proved.json  the slot that proved itself last: read only where book.json is damaged
    lock         held by the one process that fills a slot or changes the book

A start on trial is counted durably before it is begun. All calls block.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "slots"
SLOTS = ("a", "b")
INSTALLED = ""
"""Not a slot: the package that the launcher itself was installed with."""
BOOTS = 3
BOOK, PROVED, LOCK = "book.json", "proved.json", "lock"
MAX_BYTES = 1 << 20
VERSION = 1
OUTCOMES_KEPT = 16
MAX_PROBATION_S = 86_400.0
START_S = 900.0
"""What a trial gets beside its probation for one start: the journal of a full disk is recovered."""
LOCK_S = 5.0
"""How long a start waits for who changes the book; it is begun all the same."""
_AGAIN_S = 0.05


class Unreadable(ValueError):
    """No book: damaged, or of another form."""


class Lock(Protocol):
    """What one process holds."""

    def close(self) -> None:
        """Let go of it."""
        ...


class Files(Protocol):
    """What is asked of the disk; `forebay.files.Disk` has more."""

    def makedirs(self, path: Path) -> None:
        """Make a directory and those above it."""
        ...

    def read_bytes(self, path: Path, limit: int) -> bytes:
        """Give up to `limit` bytes of a file."""
        ...

    def write_atomic(self, path: Path, data: bytes) -> None:
        """Replace a file durably: temporary file, flush, rename, flush of the directory."""
        ...

    def lock(self, path: Path) -> Lock | None:
        """Take a lock that ends with the process; None if another has it."""
        ...


@dataclass(frozen=True, slots=True)
class Package:
    """One version of the agent: `archive` is the SHA-256 of what it came as, in hex."""

    version: str
    archive: str
    offer_id: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A slot that has yet to prove itself. `boots_left` starts remain to it.

    A start of it is ended by force when it has neither proved itself nor ended after probation_s
    and start_s.

    `baseline` is what worked before, as `forebay.management.probation` says it; empty: unknown.
    """

    slot: str
    previous: str
    package: Package
    probation_s: float
    boots_left: int = BOOTS
    start_s: float = START_S
    baseline: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial: `kept` or not, and why; `ended_ns` since 1970, 0 where unknown."""

    slot: str
    package: Package
    kept: bool
    reason: str = ""
    ended_ns: int = 0


_Made = TypeVar("_Made", Trial, Outcome)


@dataclass(frozen=True, slots=True)
class Book:
    """All that STATE/slots says. `current` is what runs when nothing is on trial."""

    current: str = INSTALLED
    trial: Trial | None = None
    outcomes: tuple[Outcome, ...] = ()

    def denied(self, archive: str, offer_id: str) -> Outcome | None:
        """Give the trial that failed with the same archive under the same offer, or None."""
        found = (
            one
            for one in self.outcomes
            if not one.kept and (one.package.archive, one.package.offer_id) == (archive, offer_id)
        )
        return next(found, None)

    def put_on_trial(self, trial: Trial) -> Book:
        """Give the book with a trial begun."""
        return replace(self, trial=trial)

    def give_up(self, reason: str, now_ns: int = 0) -> Book:
        """Give the book after a trial that failed: what was before it runs."""
        return self._ended(kept=False, reason=reason, now_ns=now_ns)

    def keep(self, now_ns: int) -> Book:
        """Give the book after a trial that was passed."""
        return self._ended(kept=True, reason="", now_ns=now_ns)

    def back(self, slot: str, reason: str) -> Book:
        """Give the book with `slot` in use: what runs now was given up by a person."""
        kept = (one for one in reversed(self.outcomes) if one.slot == self.current)
        given_up = [replace(one, kept=False, reason=reason) for one in list(kept)[:1]]
        return Book(slot, None, (*self.outcomes, *given_up)[-OUTCOMES_KEPT:])

    def _ended(self, *, kept: bool, reason: str, now_ns: int) -> Book:
        trial = self.trial
        assert trial is not None
        outcome = Outcome(trial.slot, trial.package, kept=kept, reason=reason, ended_ns=now_ns)
        current = trial.slot if kept else trial.previous
        return Book(current, None, (*self.outcomes, outcome)[-OUTCOMES_KEPT:])

    def started(self) -> tuple[Book, str]:
        """Give the book that must be durable before a start, and what is to be started."""
        if self.trial is None:
            return self, self.current
        if self.trial.boots_left <= 0:
            after = self.give_up(f"it did not prove itself in {BOOTS} starts")
            return after, after.current
        left = replace(self.trial, boots_left=self.trial.boots_left - 1)
        return replace(self, trial=left), left.slot


def encode(book: Book) -> bytes:
    """Give the bytes of book.json."""
    return json.dumps({"form": VERSION, **asdict(book)}).encode()


def decode(data: bytes) -> Book:
    """Read book.json. Raises Unreadable for anything that is none."""
    try:
        inner = json.loads(data)
        if inner["form"] != VERSION:
            raise Unreadable("of another form")
        outcomes = tuple(_made(Outcome, one) for one in inner["outcomes"])
        return Book(_slot(inner["current"]), _trial(inner["trial"]), outcomes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"not a book of slots: {error}") from error


def _made(kind: type[_Made], found: dict[str, Any]) -> _Made:
    """Make a part of what JSON says of it; what a newer version says beside is passed over."""
    package = Package(**{one.name: found["package"][one.name] for one in fields(Package)})
    names = {one.name for one in fields(kind)}
    return kind(
        **{name: one for name, one in found.items() if name in names} | {"package": package}
    )


def _trial(found: Any) -> Trial | None:  # noqa: ANN401 - whatever JSON holds
    if found is None:
        return None
    trial = _made(Trial, found)
    _slot(trial.slot)
    _slot(trial.previous)
    if trial.boots_left not in range(BOOTS + 1):
        raise Unreadable("a count that is none")
    if not 0 <= trial.probation_s + trial.start_s <= MAX_PROBATION_S:
        raise Unreadable("a length that is none")
    return trial


def _slot(name: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if name not in (*SLOTS, INSTALLED):
        raise Unreadable("a slot that there is not")
    return str(name)


class Slots:
    """STATE/slots on a disk."""

    def __init__(self, folder: Path, files: Files) -> None:
        """Touch nothing; `folder` is STATE/slots."""
        self.folder, self._files = folder, files

    def read(self) -> Book:
        """Give the book; of a damaged one, the slot that proved itself last. Raises nothing."""
        try:
            return decode(self._files.read_bytes(self.folder / BOOK, MAX_BYTES))
        except FileNotFoundError:
            return Book()
        except (OSError, ValueError):
            return Book(self._proved())

    def _proved(self) -> str:
        try:
            data = self._files.read_bytes(self.folder / PROVED, MAX_BYTES)
            return _slot(json.loads(data)["slot"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return INSTALLED

    def lock(self) -> Lock | None:
        """Take the right to fill a slot and to change the book; None if another process has it.

        Raises OSError.
        """
        self._files.makedirs(self.folder)
        return self._files.lock(self.folder / LOCK)

    def write(self, book: Book) -> None:
        """Make `book` true, durably. Raises OSError: the one before is true, or this one is."""
        self._files.makedirs(self.folder)
        self._files.write_atomic(self.folder / BOOK, encode(book))
        if book.trial is None:
            data = json.dumps({"slot": book.current}).encode()
            self._files.write_atomic(self.folder / PROVED, data)

    def begin(self) -> tuple[Book, tuple[str, ...]]:
        """Count this start; give the book of now, and what to start, the best first.

        A trial whose start cannot be counted is not begun: it might never come to its end. The
        installed package comes last, and a slot that failed on trial not at all.
        """
        with self._alone():
            book = self.read()
            after, first = book.started()
            if after != book:
                try:
                    self.write(after)
                except OSError:
                    assert book.trial is not None
                    after = replace(book, trial=None, current=book.trial.previous)
                    first = after.current
        second = after.trial.previous if after.trial is not None else after.current
        return after, tuple(dict.fromkeys((first, second, INSTALLED)))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from the book, if there is anything to change in it."""
        held, end_s = None, time.monotonic() + LOCK_S
        with contextlib.suppress(OSError):  # then nothing can be written either
            while self.read().trial is not None and held is None and time.monotonic() < end_s:
                held = self.lock()
                if held is None:
                    time.sleep(_AGAIN_S)
        try:
            yield
        finally:
            if held is not None:
                held.close()

    def failed(self, slot: str, reason: str) -> None:
        """Note that `slot` cannot be begun at all: a trial of it has ended. Raises nothing."""
        with self._alone():
            book = self.read()
            if book.trial is not None and book.trial.slot == slot:
                with contextlib.suppress(OSError):  # its starts are counted all the same
                    self.write(book.give_up(reason))
