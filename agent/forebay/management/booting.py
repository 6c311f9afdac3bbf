"""Which configuration a start of the agent runs: the one on trial, the proved one, or the file.

Owns the count of starts that a trial gets, which is durable before anything is begun, and the way
back from a configuration that cannot be loaded. Must not know the running agent.

Nothing that lies in the state directory keeps the agent from starting: what is damaged is passed
over, at last for the file that a person wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from forebay.config.bundle import config_hash, described, gather
from forebay.errors import ConfigError, ForebayError
from forebay.management.book import FILE, Book, cut_off

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.config.load import LoadedConfig
    from forebay.management.generations import Generations

Load = Callable[["Path"], "LoadedConfig"]


@dataclass(frozen=True, slots=True)
class Loaders:
    """How a configuration is loaded: `strict` as a person's file, `items` as a generation."""

    strict: Load
    items: Load


@dataclass(frozen=True, slots=True)
class Running:
    """What runs: a generation (FILE: the person's file), its hash in hex, and its source."""

    generation: int
    hash: str
    source: str


class Booting:
    """What the agent runs: asked at its start, and after each `Live.again`. All calls block."""

    def __init__(self, file: Path, generations: Generations, clock: Clock, load: Loaders) -> None:
        """Touch nothing. `file` is the one that a person wrote."""
        self.file, self.generations = file.absolute(), generations
        self._clock, self._load = clock, load
        self._started: LoadedConfig | None = None
        self.running = Running(FILE, "", "file")
        self.faults: list[str] = []
        """What was passed over, a sentence each."""

    def start(self) -> LoadedConfig:
        """Load for the start of a process: counts it, if there is a trial.

        Raises ConfigError if the file that a person wrote is all there is, and cannot run.
        """
        book = self._read()
        book = self._counted(book)
        for attempt in book.attempts:
            mine = book.trial is not None and book.trial.attempt == attempt.id
            if not attempt.phase.ended and not mine:
                book = cut_off(book, attempt.id, self._clock.now_ns())
                self._write(book)
        self._started = self._loaded(book)
        return self._started

    def load(self) -> LoadedConfig:
        """Give at first what `start` loaded, later whatever is to run. Raises ConfigError."""
        if self._started is None:
            return self._loaded(self._read())
        loaded, self._started = self._started, None
        return loaded

    def _read(self) -> Book:
        try:
            return self.generations.read()
        except OSError as error:
            self.faults.append(f"the state of the configurations cannot be read: {error.strerror}")
            return Book()

    def _write(self, book: Book) -> bool:
        try:
            self.generations.write(book)
        except OSError as error:
            self.faults.append(f"the configuration's state cannot be written: {error.strerror}")
            return False
        return True

    def _counted(self, book: Book) -> Book:
        """Give the book with this start counted, durably; without its trial where that is over."""
        trial, clock = book.trial, self._clock
        if trial is None:
            return book
        error = ""
        if trial.boots_left <= 0:
            error = "the agent ended again and again while it was on trial"
        elif trial.over(clock.boot_id, clock.boottime_ns(), clock.now_ns()):
            error = "its trial was cut off, and its time is over"
        if not error:
            counted = book.booted()
            if self._write(counted):
                return counted
            # What cannot be counted could be tried for ever.
            return replace(book, trial=None, running=trial.previous)
        after = book.roll_back(error, "see the log of that time", clock.now_ns(), 0.0)
        self._write(after)
        return after

    def _loaded(self, book: Book) -> LoadedConfig:
        """Load what the book says, or what comes before it where that cannot be had."""
        while True:
            try:
                return self._file() if book.running == FILE else self._generation(book)
            except (ForebayError, OSError) as error:
                if book.running == FILE and book.trial is None:
                    raise
                self.faults.append(f"generation {book.running} cannot run: {error}")
                book = self._before(book, error)
                self._write(book)

    def _before(self, book: Book, error: Exception) -> Book:
        """Give the book without the configuration that runs by it, for `error`."""
        if book.trial is not None:
            why, hint = f"it cannot be loaded: {error}", getattr(error, "hint", "")
            return book.roll_back(why, hint, self._clock.now_ns(), 0.0)
        kept = {n: one for n, one in book.kept.items() if n != book.running}
        proved = [n for n, one in kept.items() if one.proved]
        return replace(book, running=max(proved, default=FILE), kept=kept)

    def _file(self) -> LoadedConfig:
        loaded = self._load.strict(self.file)
        self.running = Running(FILE, self.file_hash(), "file")
        return loaded

    def _generation(self, book: Book) -> LoadedConfig:
        found = self.generations.check(book.running)
        with suppress(OSError):
            self.generations.follow(book)
        loaded = self._load.items(self.generations.main(book.running))
        kept = book.kept.get(book.running)
        self.running = Running(book.running, found.hex(), kept.source if kept else "")
        return loaded

    def one(self, number: int) -> LoadedConfig:
        """Load a generation, or the file, as it is now. Raises ForebayError."""
        if number == FILE:
            return self._load.items(self.file)
        self.generations.check(number)
        return self._load.items(self.generations.main(number))

    def main(self) -> Path:
        """Give the main file of what runs."""
        number = self.running.generation
        return self.file if number == FILE else self.generations.main(number)

    def file_hash(self) -> str:
        """Give the hash of what a person's file says now, in hex; empty if it cannot be had."""
        try:
            return config_hash(described(gather(self.file))).hex()
        except ForebayError:
            return ""


def explained(error: ConfigError) -> str:
    """Give the faults of a configuration in one text, the first few; the hint of one is its own."""
    if len(error.faults) == 1:
        return str(error)
    said = "; ".join(str(fault) for fault in error.faults[:5])
    return said + (f"; and {len(error.faults) - 5} more" if len(error.faults) > 5 else "")
