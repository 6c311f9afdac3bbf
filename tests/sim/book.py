"""What the PLC gave, what the journal called durable, and what each server said it has.

Owned by the world, not by the agent, so that no defect of the agent can tidy it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.forwarding.coverage import Coverage
from forebay.model import RecordKind, Stream
from forebay_fleet.decode import decode_batch, decode_schema
from sim.plc import NOISE_FROM

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from forebay.interfaces import Resume
    from forebay.journal.entry import Entry
    from forebay.journal.journal import Journal
    from forebay_fleet.decode import SchemaView

SLACK_S = 0.3
"""What may pass between a row and its commit beside the commit interval and a slow disk."""


@dataclass
class Life:
    """One process: the numbers of its polls and when they were; `cramped` if the disk was full."""

    cramped: bool
    polls: list[tuple[int, float]] = field(default_factory=list)
    slowest_s: float = 0.0


class Book:
    """The account that verdicts go by."""

    def __init__(self) -> None:
        self.durable: set[int] = set()
        """Polls that the journal has called durable, in the course of things that the disk has."""
        self.was_full = self.rotted = False
        """Whether others ever left the disk too little room; whether a bit ever turned."""
        self.leapt = self.aged = False
        """Whether the clock ever leapt ahead by years; whether it was disciplined then or later.

        If so, what is older is rightly too old to be kept.
        """
        self.overtaken = ""
        """The first cursor that was beyond what its server had said; empty: none was."""
        self._life = Life(cramped=False)
        self._told: dict[tuple[str, Stream, int], Coverage] = {}
        self._schemas: dict[int, SchemaView] = {}

    def begin(self, *, cramped: bool) -> None:
        """Begin a life."""
        self._life = Life(cramped)

    def filled(self) -> None:
        """Note that the disk is too full for the journal."""
        self._life.cramped = self.was_full = True

    def polled(self, poll: int, now_s: float, disk_delay_s: float) -> None:
        """Note a row that goes to the agent, and how slow the disk may be."""
        self._life.polls.append((poll, now_s))
        self._life.slowest_s = max(self._life.slowest_s, disk_delay_s)

    def submitted(self, entries: Sequence[Entry], future: asyncio.Future[None]) -> None:
        """Note what the journal takes, once it says that it is durable."""
        polls = [p for e in entries if e.kind is RecordKind.BATCH for p in self._polls_in(e)]
        durable = self.durable

        def done(future: asyncio.Future[None]) -> None:
            if not future.cancelled() and future.exception() is None:
                durable.update(polls)

        future.add_done_callback(done)

    def end(self, now_s: float, commit_s: float | None, disk_delay_s: float) -> None:
        """Every row of this life is durable, but those of its last commit if it was cut short.

        `commit_s` is None for an orderly end: then one row at most may have been on its way to the
        agent. Says nothing of a life that had no room on disk.
        """
        life = self._life
        if life.cramped:
            return
        lost = [(poll, at_s) for poll, at_s in life.polls if poll not in self.durable]
        if commit_s is None:
            assert not lost or lost == life.polls[-1:], f"never became durable: {lost}"
            return
        window_s = commit_s + max(life.slowest_s, disk_delay_s) + SLACK_S
        early = [poll for poll, at_s in lost if at_s < now_s - window_s]
        assert not early, f"not durable {window_s} s after they were read: {early}"

    def answered(self, journal: Journal, uplink: str, resumes: Iterable[Resume]) -> None:
        """Note what a server says it has, or need not have; before that, look at the cursor."""
        self.look(journal, (uplink,))
        for told in resumes:
            runs = self._told.setdefault((uplink, told.stream, told.epoch), Coverage())
            for first, last in ((1, told.committed_seq), *told.islands):
                runs.add(first, last)

    def look(self, journal: Journal, uplinks: Iterable[str]) -> None:
        """Note in `overtaken` a cursor that has passed what is on disk and its server never said.

        Says nothing once bits have turned: what cannot be read is passed, and a gap sent for it.
        """
        segments = () if self.rotted else journal.segments()
        for uplink in uplinks:
            for segment in segments:
                at = journal.cursor(uplink).get(segment.stream)
                told = self._told.get((uplink, segment.stream, segment.epoch), Coverage())
                last = at.seq if at.epoch == segment.epoch else segment.last_seq
                last = min(last, segment.last_seq)
                if at.epoch < segment.epoch or last < segment.first_seq:
                    continue
                owed = told.missing(segment.first_seq, last)
                if owed and not self.overtaken:
                    self.overtaken = f"cursor of {uplink} at {at} is beyond {owed} of {segment}"

    def _polls_in(self, entry: Entry) -> list[int]:
        assert entry.schema is not None
        number, encoded = entry.schema
        schema = self._schemas.get(number)
        if schema is None:
            schema = self._schemas[number] = decode_schema(encoded)
        columns = schema.tags
        series = decode_batch(entry.payload, schema).series(0)
        good = series.values[(series.quality & 0x8000_0000) == 0]
        return [int(v) // columns for v in good & ((1 << NOISE_FROM) - 1)]
