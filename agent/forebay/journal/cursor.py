"""Cursors: how far each consumer is, kept in one readable file a consumer.

Owns what a consumer says of itself, and the files. A cursor is a hint, since the destination is the
authority on resume: a file that is missing or damaged means a start at the beginning, and what is
no longer on disk then counts as gapped. Only consumers that somebody asked for in this run matter
to retention; the files of all others stay as they are.
"""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from forebay.files import no_space
from forebay.journal import ledger
from forebay.journal.cursor_file import (
    FILE_BYTES_MAX,
    Remembered,
    Witness,
    intact,
    parse,
)
from forebay.journal.given import Run, behind, bounded, newest, records
from forebay.journal.places import Places, furthest, nowhere
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.files import Disk
    from forebay.journal.catalog import Catalog, IndexCache, Segment
    from forebay.journal.ledger import Account, Place

__all__ = ["FILE_BYTES_MAX", "Cursor", "CursorStore", "Witness", "intact"]

PLUGIN = "plugin."
"""Begins the names of plugins' cursors: they hold data back, and deliver nothing."""

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")


class Cursor(Places):
    """One consumer's place in each stream, for that consumer.

    Its own methods may be called from any thread and never touch the disk.
    """

    @property
    def delivers(self) -> bool:
        """Whether what this consumer has passed is somewhere else by then."""
        return not self.name.startswith(PLUGIN)

    def get(self, stream: Stream) -> Position:
        """Give the last position that the consumer is done with; `(stream, 0, 0)` for none."""
        return self._streams[stream].target

    def advance(self, position: Position) -> None:
        """Note that the consumer is done with everything up to `position`; never goes back."""
        mine = self._streams[position.stream]
        with self._lock:
            if position > mine.target:
                mine.target, mine.doubt = position, None
                self._changes += 1
                self._patient += 1

    def rewind(self, position: Position) -> None:
        """Go back to `position`: the destination has lost what it had behind it.

        What is still on disk there is pending again, and held until it is delivered again; what is
        gone is gapped. The account follows within a second.
        """
        mine = self._streams[position.stream]
        with self._lock:
            if position < mine.target:
                lowest = mine.lowest
                mine.rewound = position if position < lowest else mine.rewound
                mine.target, mine.doubt, mine.islands = position, None, ()
                mine.durable = min(mine.durable, position)
                self._changes += 1

    def begin(
        self, stream: Stream, position: Position, islands: Iterable[tuple[Position, Position]] = ()
    ) -> None:
        """Note that a session starts: the destination has everything up to `position`.

        And, beyond it, the `islands` (first and last position). What it was given besides never
        came there, and may be thinned again; what it refused besides is sent again.
        """
        mine = self._streams[stream]
        there = tuple(Run(first[1:], last[1:]) for first, last in islands)
        kept = bounded(there)
        with self._lock:
            mine.rejected = {
                key: samples
                for key, samples in mine.rejected.items()
                if key <= position[1:] or any(run.first <= key <= run.last for run in there)
            }
            mine.given = behind(kept, position[1:])
            mine.islands = newest(behind(there, position[1:]))
            mine.doubt = position if position < mine.durable else None
            self._changes += 1

    def keep(self, stream: Stream, islands: Iterable[tuple[Position, Position]]) -> None:
        """Note that by now the destination has the `islands` beyond the position.

        First and last position of each, within one epoch.
        """
        mine = self._streams[stream]
        runs = newest(tuple(Run(first[1:], last[1:]) for first, last in islands))
        with self._lock:
            if runs != mine.islands:
                self._kept += max(0, records(runs) - records(mine.islands))
                mine.islands = runs
                self._changes += 1
                self._patient += 1

    def islands(self, stream: Stream) -> tuple[tuple[Position, Position], ...]:
        """Give what the destination has beyond the position, as `begin` or `keep` was last told."""
        mine = self._streams[stream]
        with self._lock:
            runs = behind(mine.islands, mine.target[1:])
        return tuple((Position(stream, *run.first), Position(stream, *run.last)) for run in runs)

    def reject(self, position: Position, samples: int) -> None:
        """Note that the destination refused the record at `position` for good.

        Its `samples` count as quarantined, once, when the cursor passes it. Only for records that
        are sent and not yet acknowledged, which bounds how many are kept.
        """
        mine = self._streams[position.stream]
        with self._lock:
            if position > mine.lowest:
                mine.rejected.setdefault((position.epoch, position.seq), samples)
                self._changes += 1

    def accept(self, position: Position, samples: int) -> None:
        """Note that the destination took after all what was told to `reject`.

        Its `samples` count as delivered.
        """
        mine = self._streams[position.stream]
        with self._lock:
            if mine.rejected.pop((position.epoch, position.seq), None) is None:
                mine.place = _delivered(mine.place, position, samples)
                mine.trail = [_delivered(place, position, samples) for place in mine.trail]
            self._changes += 1

    def witness(self, stream: Stream) -> Witness | None:
        """Give what `testify` was last told of `stream`."""
        return self._streams[stream].witness

    def testify(self, position: Position, chain: bytes, incarnation: str) -> None:
        """Note that the destination has the hash chain `chain` at `position`.

        A later session tells by it whether this is still the journal that the destination knows.
        """
        with self._lock:
            self._streams[position.stream].witness = Witness(position, chain, incarnation)
            self._changes += 1
            self._patient += 1


def _delivered(place: Place, position: Position, samples: int) -> Place:
    """Move samples of a record before `place` from quarantined to delivered."""
    if place.position < position:
        return place
    return replace(place, quarantined=max(0, place.quarantined - samples))


def _fresh(name: str) -> Cursor:
    return Cursor(name, {stream: Remembered(nowhere(stream)) for stream in Stream})


class CursorStore:
    """All cursors of a journal. Safe for all threads."""

    def __init__(self, directory: Path, disk: Disk, catalog: Catalog, cache: IndexCache) -> None:
        """Keep the files in `directory`, which is made with the first save."""
        self._directory, self._disk = directory, disk
        self._catalog, self._cache = catalog, cache
        self._cursors: dict[str, Cursor] = {}
        self._remembered: dict[str, Cursor] = {}
        self._saving = threading.Lock()
        self.coming = threading.Lock()
        """Held while a consumer comes, goes back or begins a segment, and while retention settles
        what no consumer can get any more, or not as it was."""

    def load(self) -> tuple[str, ...]:
        """Read all cursor files, for the consumers that come and those that came before it.

        Gives the names of those that were damaged and start at the beginning. Blocks. OSError only
        if the directory itself cannot be read.
        """
        damaged = []
        for name in self._names():
            cursor, whole = self._read(name)
            early = self._cursors.get(name)
            if early is None:
                self._remembered[name] = cursor
            else:
                early.adopt(cursor)
            if not whole:
                damaged.append(name)
        for early in self._cursors.values():
            early.arrive(self._catalog)
        return tuple(damaged)

    def newest_epoch(self) -> int:
        """Give the newest epoch that any cursor file names, 0 if none does. Blocks, as `load`."""
        found = [known.values() for known, _ in map(self._parse, self._names())]
        spots = (
            spot
            for values in found
            for known in values
            for spot in (known.place.position[1:], *(run.last for run in known.islands))
        )
        return max(spots, default=(0, 0))[0]

    def furthest(self) -> dict[Stream, Place]:
        """Give the furthest place of all consumers in each stream, as their files have it.

        Nothing if one cannot be read: then nobody knows. Blocks, as `load`.
        """
        found = [self._parse(name) for name in self._names()]
        if not all(whole for _, whole in found):
            return {}
        return furthest(known for known, _ in found)

    def _names(self) -> list[str]:
        there = self._disk.listdir(self._directory) if self._disk.exists(self._directory) else []
        names = [name.removesuffix(".json") for name in there if name.endswith(".json")]
        return [name for name in names if _NAME.match(name)]

    def get(self, name: str) -> Cursor:
        """Give the cursor of a consumer, new ones at the beginning. ValueError for a bad name."""
        cursor = self._cursors.get(name)
        if cursor is None:
            if not _NAME.match(name):
                msg = f"{name!r} cannot name a cursor: letters, digits, `_`, `.`, `-`, at most 80"
                raise ValueError(msg)
            with self.coming:
                cursor = self._remembered.pop(name, None) or _fresh(name)
                cursor.arrive(self._catalog)
                self._cursors = self._cursors | {name: cursor}
        return cursor

    def leave(self, name: str) -> None:
        """Save the cursor of a consumer, and do without it until it is asked for again.

        Blocks. OSError if the disk refuses; one without room costs what has moved since the last
        save.
        """
        try:
            self.save()
        except OSError as error:
            if not no_space(error):
                raise
        with self.coming:
            cursor = self._cursors.get(name)
            if cursor is not None:
                self._remembered[name] = cursor
                self._cursors = {k: one for k, one in self._cursors.items() if k != name}

    def account(
        self, stream: Stream, cursor: Cursor | None, kept: Callable[[str, Position], int]
    ) -> Account:
        """Give the account of `stream` for the consumer behind `cursor`; `kept` as quarantine's.

        Without one it is that of the furthest consumer that has not come in this run. If there
        never was any it is that of one that has got nothing: to one that came now, what is gone
        would count as gapped, and no loss would show.
        """
        if cursor is None:
            known = tuple(one for one in self._remembered.values() if one.delivers)
            cursor = max(known, key=lambda one: one.get(stream), default=_fresh(""))
        return cursor.account(stream, self._catalog, self._cache, partial(kept, cursor.name))

    def all(self) -> tuple[Cursor, ...]:
        """Give the cursors of all consumers that have come in this run."""
        return tuple(self._cursors.values())

    def begin(self, cursor: Cursor, segment: Segment) -> bool:
        """Note for good that records of `segment` are about to be given to a consumer.

        False if it has gone: then there is another one in its place, or a gap. Blocks once a
        segment. OSError if the disk refuses.
        """
        if cursor.holds(segment) and not segment.replaced:
            return True  # nothing takes its place from now on
        with self.coming:
            segments = self._catalog.segments(segment.stream)
            if segment.replaced or segment not in segments:
                return False
            number = segments.index(segment)
            cursor.mark(segment, segments[number - 1] if number else None)
        try:
            self.save()
        except OSError as error:
            if not no_space(error):  # without room the mark holds for this run only
                raise
        return True

    def may_thin(self, segment: Segment) -> bool:
        """Whether no consumer, come or still to come, has got a part of the segment.

        What holds is lost with `coming`.
        """
        known = (*self._cursors.values(), *tuple(self._remembered.values()))
        return all(cursor.may_thin(segment) for cursor in known)

    def settle(self) -> None:
        """Bring every account up to its position. Blocks: may read indexes."""
        for cursor in self.all():
            for stream in Stream:
                if cursor.rewinding(stream):
                    with self.coming:
                        self._settle(cursor, stream, back=True)
                self._settle(cursor, stream)

    def _settle(self, cursor: Cursor, stream: Stream, *, back: bool = False) -> None:
        parts = (stream, self._catalog, self._cache)
        while segment := cursor.settle(*parts, back=back):
            if self._index(segment) is None:
                cursor.settle(*parts, blind=True, back=back)

    def save(self, fewest: int = 1) -> bool:
        """Settle, and make every changed cursor durable; whether there was any.

        What only advanced may wait until it is the `fewest` records further. Blocks. OSError if the
        disk refuses.
        """
        wrote = False
        with self._saving:
            self.settle()
            for cursor in self.all():
                what = cursor.unsaved(fewest)
                if what is not None:
                    self._disk.makedirs(self._directory)
                    self._disk.write_atomic(self._directory / f"{cursor.name}.json", what.content)
                    cursor.saved(what)
                    wrote = True
        return wrote

    def _index(self, segment: Segment) -> NDArray[Any] | None:
        """Give a segment's index, None if it cannot be read."""
        try:
            return self._cache.load(segment)
        except OSError:
            return None

    def _read(self, name: str) -> tuple[Cursor, bool]:
        """Read one file; a damaged one gives a cursor at the beginning and False."""
        found, whole = self._parse(name)
        known = {stream: Remembered(nowhere(stream)) for stream in Stream}
        for stream, was in found.items():
            view = self._catalog.view(stream)
            segment = view.find(was.place.position)
            rows = None if segment is None else self._index(segment)
            known[stream] = replace(was, place=ledger.settled(view, was.place, rows))
        return Cursor(name, known), whole

    def _parse(self, name: str) -> tuple[dict[Stream, Remembered], bool]:
        """Read one file's content; nothing and False if it is damaged."""
        try:
            data = self._disk.read_bytes(self._directory / f"{name}.json", FILE_BYTES_MAX)
            return parse(data), True
        except (OSError, ValueError):
            return {}, False
