"""Cursors: how far each consumer is, kept in one readable file a consumer.

Owns the places and how they move. A cursor is a hint, since the destination is the authority on
resume: a file that is missing or damaged means a start at the beginning, and what is no longer on
disk then counts as gapped. Only consumers that somebody asked for in this run matter to retention;
the files of all others stay as they are.
"""

from __future__ import annotations

import errno
import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.journal import ledger
from forebay.journal.cursor_file import (
    FILE_BYTES_MAX,
    Remembered,
    Witness,
    file_text,
    intact,
    parse,
)
from forebay.journal.given import Run, Runs, behind, bounded, joined, touches
from forebay.journal.ledger import Place
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.files import Disk
    from forebay.journal.catalog import Catalog, IndexCache, Segment, View
    from forebay.journal.ledger import Account

__all__ = ["FILE_BYTES_MAX", "Cursor", "CursorStore", "Witness", "intact"]

TRAIL_MOST = 32
"""Earlier places that a cursor remembers; the older, the fewer."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


class Unsaved(NamedTuple):
    """A cursor file's content, the positions in it, and the number of the change it goes up to."""

    content: bytes
    positions: dict[Stream, Position]
    changes: int


@dataclass(slots=True)
class _Standing:
    """Where a consumer stands in one stream.

    `place` is its account; `target` is how far it really is, to be settled; `durable` what the file
    says. `rewound` is where it has to go back to first, None for nowhere. `doubt` is what the
    destination said it has where that is less than `durable`, until either gives way.
    """

    place: Place
    target: Position
    durable: Position
    rejected: dict[tuple[int, int], int]
    witness: Witness | None
    given: Runs
    trail: list[Place]
    rewound: Position | None = None
    doubt: Position | None = None

    @property
    def passed(self) -> Position:
        """Up to where the consumer surely needs nothing any more."""
        return self.durable if self.doubt is None else min(self.durable, self.doubt)

    @property
    def lowest(self) -> Position:
        """The position whose account holds, or will when it is settled."""
        return self.place.position if self.rewound is None else self.rewound


class Cursor:
    """One consumer's place in each stream.

    All but what takes a catalog may be called from any thread and never touches the disk.
    """

    def __init__(self, name: str, known: dict[Stream, Remembered]) -> None:
        """Start at what is `known` of each stream.

        The first save writes it in any case, so that retention knows this consumer from then on.
        """
        self.name = name
        self._lock = threading.Lock()
        self._streams = {
            stream: _Standing(
                place=was.place,
                target=was.place.position,
                durable=was.place.position,
                rejected=dict(was.rejected),
                witness=was.witness,
                given=was.given,
                trail=list(was.trail),
            )
            for stream, was in known.items()
        }
        self._changes, self._saved = 1, 0

    def adopt(self, known: Cursor) -> None:
        """Become what is `known`: this one came before anything could be read."""
        with self._lock:
            self._streams = known._streams
            self._changes += 1

    def arrive(self, catalog: Catalog) -> None:
        """Come, before anybody else has this cursor: what is no longer on disk is gapped."""
        for stream, mine in self._streams.items():
            mine.place = ledger.arrived(catalog.view(stream), mine.place)

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
                mine.target, mine.doubt = position, None
                mine.durable = min(mine.durable, position)
                self._changes += 1

    def begin(
        self, stream: Stream, position: Position, islands: Iterable[tuple[Position, Position]] = ()
    ) -> None:
        """Note that a session starts: the destination has everything up to `position`.

        And, beyond it, the `islands` (first and last position). What it was given besides never
        came there, and may be thinned again.
        """
        mine = self._streams[stream]
        kept = bounded(tuple(Run(first[1:], last[1:]) for first, last in islands))
        with self._lock:
            mine.given = behind(kept, position[1:])
            mine.doubt = position if position < mine.durable else None
            self._changes += 1

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

    def holds(self, segment: Segment) -> bool:
        """Whether records of `segment` may have been given since the session began."""
        given = self._streams[segment.stream].given
        return touches(given, segment.first[1:], segment.last[1:])

    def mark(self, segment: Segment, before: Segment | None) -> None:
        """Note that records of `segment`, whose elder is `before`, are about to be given."""
        mine = self._streams[segment.stream]
        run = Run(segment.first[1:], segment.last[1:])
        elder = None if before is None else Run(before.first[1:], before.last[1:])
        with self._lock:
            mine.given = joined(behind(mine.given, mine.passed[1:]), run, elder)
            self._changes += 1

    def may_thin(self, segment: Segment) -> bool:
        """Whether this consumer has passed the segment for good, or has got nothing of it."""
        mine = self._streams[segment.stream]
        with self._lock:
            if mine.rewound is not None:
                return False
            if mine.passed >= segment.last:
                return True
            reached = max(mine.target, mine.durable) if mine.doubt is None else mine.doubt
            inside = segment.first <= mine.place.position < segment.last
            given = touches(mine.given, segment.first[1:], segment.last[1:])
            return reached < segment.first and not inside and not given

    def passed(self, stream: Stream) -> Position:
        """Give the position that is on disk: what lies behind it may be asked for again."""
        return self._streams[stream].passed

    def rewinding(self, stream: Stream) -> bool:
        """Whether `rewind` is still to be settled."""
        return self._streams[stream].rewound is not None

    def settle(
        self,
        stream: Stream,
        catalog: Catalog,
        cache: IndexCache,
        *,
        blind: bool = False,
        back: bool = False,
    ) -> Segment | None:
        """Bring the account up to the position, if that needs no disk.

        Else give the segment whose index it needs; `blind` goes without, as if the position were
        at that segment's beginning. `back` also goes back where `rewind` asked for it: retention
        must not drop anything meanwhile.
        """
        mine = self._streams[stream]
        with self._lock:
            if mine.rewound is not None and not back:
                return None
            target = mine.target if mine.rewound is None else mine.rewound
            if mine.place.position == target:
                return None
            view, damaged = catalog.picture(stream)
            segment = view.find(target)
            rows = None
            if segment is not None and segment.last != target:
                rows = cache.peek(segment)
                if rows is None and not blind:
                    return segment
            if mine.rewound is None:
                moved = ledger.move(view, mine.place, target, rows, damaged)
                self._advanced(mine, _quarantined(mine, moved, view), view)
            else:
                mine.trail = [place for place in mine.trail if place.position <= target]
                base = mine.trail[-1] if mine.trail else _nowhere(stream)
                mine.place = ledger.rewound(view, mine.place, target, base, rows, damaged)
                mine.rewound = None
            return None

    def _advanced(self, mine: _Standing, moved: Place, view: View) -> None:
        """Take a new place, and remember the one before where a segment or a loss begins."""
        was = mine.place
        mine.place = moved
        losses = (was.gapped, was.quarantined, was.lost)
        same = (moved.gapped, moved.quarantined, moved.lost) == losses and view.find(
            was.position
        ) is view.find(moved.position)
        if not same and was.counted_to == was.position and was.position.epoch:
            mine.trail.append(was)
            if len(mine.trail) > TRAIL_MOST:
                half = TRAIL_MOST // 2
                mine.trail = [*mine.trail[:half:2], *mine.trail[half:]]

    def account(self, stream: Stream, catalog: Catalog, cache: IndexCache) -> Account:
        """Give the account of `stream`, as of the last place that could be settled."""
        self.settle(stream, catalog, cache)
        with self._lock:  # retention drops silently only what lies before the place of this moment
            place = self._streams[stream].place
            view, damaged = catalog.picture(stream)
        return ledger.account(view, place, damaged)

    def unsaved(self) -> Unsaved | None:
        """Give what to write, or None if nothing changed since the last save."""
        with self._lock:
            if self._changes == self._saved:
                return None
            settled = {stream: mine.place.position for stream, mine in self._streams.items()}
            targets = {stream: mine.target for stream, mine in self._streams.items()}
            content = file_text(
                {
                    stream: Remembered(
                        mine.place, mine.rejected, mine.witness, mine.given, mine.trail
                    )
                    for stream, mine in self._streams.items()
                }
            )
            changes = self._changes if settled == targets else self._saved
        return Unsaved(content, settled, changes)

    def saved(self, what: Unsaved) -> None:
        """Note that `what` is on disk."""
        with self._lock:
            for stream, mine in self._streams.items():
                mine.durable = what.positions[stream]
                if mine.rewound is not None:
                    mine.durable = min(mine.durable, mine.rewound)
            self._saved = what.changes


def _nowhere(stream: Stream) -> Place:
    return Place(Position(stream, 0, 0), 0)


def _quarantined(mine: _Standing, place: Place, view: View) -> Place:
    """Move what was refused and is now passed from delivered to quarantined.

    What retention took before it was passed is gapped already.
    """
    passed = [key for key in mine.rejected if key <= place.position[1:]]
    there = {key for key in passed if view.find(Position(place.position.stream, *key))}
    refused = {key: mine.rejected.pop(key) for key in passed}
    samples = sum(samples for key, samples in refused.items() if key in there)
    return replace(place, quarantined=place.quarantined + samples)


def _delivered(place: Place, position: Position, samples: int) -> Place:
    """Move samples of a record before `place` from quarantined to delivered."""
    if place.position < position:
        return place
    return replace(place, quarantined=max(0, place.quarantined - samples))


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
        return max((known.place.position.epoch for values in found for known in values), default=0)

    def _names(self) -> list[str]:
        there = self._disk.listdir(self._directory) if self._disk.exists(self._directory) else []
        names = [name.removesuffix(".json") for name in there if name.endswith(".json")]
        return [name for name in names if _NAME.match(name)]

    def get(self, name: str) -> Cursor:
        """Give the cursor of a consumer, new ones at the beginning. ValueError for a bad name."""
        cursor = self._cursors.get(name)
        if cursor is None:
            if not _NAME.match(name):
                msg = f"{name!r} cannot name a cursor: letters, digits, `_`, `.`, `-`, at most 64"
                raise ValueError(msg)
            with self.coming:
                fresh = Cursor(name, {stream: Remembered(_nowhere(stream)) for stream in Stream})
                cursor = self._remembered.pop(name, fresh)
                cursor.arrive(self._catalog)
                self._cursors = self._cursors | {name: cursor}
        return cursor

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
            if error.errno != errno.ENOSPC:  # without room the mark holds for this run only
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

    def save(self) -> None:
        """Settle, and make every changed cursor durable. Blocks. OSError if the disk refuses."""
        with self._saving:
            self.settle()
            for cursor in self.all():
                what = cursor.unsaved()
                if what is not None:
                    self._disk.makedirs(self._directory)
                    self._disk.write_atomic(self._directory / f"{cursor.name}.json", what.content)
                    cursor.saved(what)

    def _index(self, segment: Segment) -> NDArray[Any] | None:
        """Give a segment's index, None if it cannot be read."""
        try:
            return self._cache.load(segment)
        except OSError:
            return None

    def _read(self, name: str) -> tuple[Cursor, bool]:
        """Read one file; a damaged one gives a cursor at the beginning and False."""
        found, whole = self._parse(name)
        known = {stream: Remembered(_nowhere(stream)) for stream in Stream}
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
