"""Where one consumer stands in each stream, as the journal sees it.

Owns the account of what the consumer passed, what is on disk of that, and which segments it has
begun. Must not know sessions or files.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from forebay.journal import ledger
from forebay.journal.cursor_file import Remembered, Witness, file_text
from forebay.journal.given import Run, Runs, behind, joined, touches
from forebay.journal.ledger import Place
from forebay.journal.saving import ALL
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from forebay.journal.catalog import Catalog, IndexCache, Segment, View
    from forebay.journal.ledger import Account

TRAIL_MOST = 32
"""Earlier places that a cursor remembers; the older, the fewer."""


class Unsaved(NamedTuple):
    """A cursor file's content, the positions in it, and the number of the change it goes up to.

    `pressing` is the number of the last of these that could not wait; `kept` are the records that
    `islands` have grown by.
    """

    content: bytes
    positions: dict[Stream, Position]
    changes: int
    pressing: int
    kept: int


@dataclass(slots=True)
class Standing:
    """Where a consumer stands in one stream.

    `place` is its account; `target` is how far it really is, to be settled; `durable` what the file
    says. `rewound` is where it has to go back to first, None for nowhere. `doubt` is what the
    destination said it has where that is less than `durable`, until either gives way. `islands` are
    runs that it said it has and that lay beyond `target` then.
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
    islands: Runs = ()

    @property
    def passed(self) -> Position:
        """Up to where the consumer surely needs nothing any more."""
        return self.durable if self.doubt is None else min(self.durable, self.doubt)

    @property
    def lowest(self) -> Position:
        """The position whose account holds, or will when it is settled."""
        return self.place.position if self.rewound is None else self.rewound


class Places:
    """One consumer's standing in each stream, and how it is settled and saved.

    All but what takes a catalog may be called from any thread and never touches the disk.
    """

    def __init__(self, name: str, known: dict[Stream, Remembered]) -> None:
        """Start at what is `known` of each stream.

        The first save writes it in any case, so that retention knows this consumer from then on.
        """
        self.name = name
        self._lock = threading.Lock()
        self._streams = {
            stream: Standing(
                place=was.place,
                target=was.place.position,
                durable=was.place.position,
                rejected=dict(was.rejected),
                witness=was.witness,
                given=was.given,
                trail=list(was.trail),
                islands=was.islands,
            )
            for stream, was in known.items()
        }
        self._changes, self._saved = 1, 0
        self._patient, self._pressed, self._kept = 0, 0, 0

    def adopt(self, known: Places) -> None:
        """Become what is `known`: this one came before anything could be read."""
        with self._lock:
            self._streams = known._streams
            self._changes += 1

    def arrive(self, catalog: Catalog) -> None:
        """Come, before anybody else has this cursor: what is no longer on disk is gapped."""
        for stream, mine in self._streams.items():
            mine.place = ledger.arrived(catalog.view(stream), mine.place)

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
                base = mine.trail[-1] if mine.trail else nowhere(stream)
                mine.place = ledger.rewound(view, mine.place, target, base, rows, damaged)
                mine.rewound = None
            return None

    def _advanced(self, mine: Standing, moved: Place, view: View) -> None:
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

    def account(
        self, stream: Stream, catalog: Catalog, cache: IndexCache, kept: Callable[[Position], int]
    ) -> Account:
        """Give the account of `stream`, as of the last place that could be settled.

        `kept` counts the samples up to a position that quarantine has for this consumer.
        """
        self.settle(stream, catalog, cache)
        with self._lock:  # retention drops silently only what lies before the place of this moment
            place = self._streams[stream].place
            view, damaged = catalog.picture(stream)
        return ledger.account(view, place, damaged, kept(place.position))

    def unsaved(self, fewest: int = 1) -> Unsaved | None:
        """Give what to write, or None if nothing changed since the last save.

        None also if nothing but place and witness did, by less than the `fewest` records: hints.
        """
        with self._lock:
            if self._changes == self._saved:
                return None
            pressing = self._changes - self._patient
            if pressing == self._pressed and max(1, self._further()) < fewest:
                return None
            settled = {stream: mine.place.position for stream, mine in self._streams.items()}
            targets = {stream: mine.target for stream, mine in self._streams.items()}
            content = file_text(
                {
                    stream: Remembered(
                        mine.place,
                        mine.rejected,
                        mine.witness,
                        mine.given,
                        mine.trail,
                        behind(mine.islands, mine.place.position[1:]),
                    )
                    for stream, mine in self._streams.items()
                }
            )
            whole = settled == targets
            changes = self._changes if whole else self._saved
            kept = self._kept
        return Unsaved(content, settled, changes, pressing if whole else self._pressed, kept)

    def _further(self) -> int:
        """Give by how many records the places are beyond the file; ALL for another epoch."""
        further = self._kept
        for mine in self._streams.values():
            if mine.target.epoch != mine.durable.epoch:
                return ALL
            further += mine.target.seq - mine.durable.seq
        return further

    def saved(self, what: Unsaved) -> None:
        """Note that `what` is on disk."""
        with self._lock:
            for stream, mine in self._streams.items():
                mine.durable = what.positions[stream]
                if mine.rewound is not None:
                    mine.durable = min(mine.durable, mine.rewound)
            self._saved, self._pressed = what.changes, what.pressing
            self._kept -= what.kept


def nowhere(stream: Stream) -> Place:
    """Give the place of a consumer that has got nothing."""
    return Place(Position(stream, 0, 0), 0)


def furthest(files: Iterable[Mapping[Stream, Remembered]]) -> dict[Stream, Place]:
    """Give the furthest place of all consumers in each stream, the beginning if there is none.

    Retention is silent only about what the files say is passed.
    """
    found = list(files)
    return {
        stream: max(
            (known[stream].place for known in found if stream in known),
            key=lambda place: place.counted_to,
            default=nowhere(stream),
        )
        for stream in Stream
    }


def _quarantined(mine: Standing, place: Place, view: View) -> Place:
    """Move what was refused and is now passed to quarantined.

    From delivered; or, if retention took it before it was passed, from gapped: a copy is kept.
    """
    passed = [key for key in mine.rejected if key <= place.position[1:]]
    there = {key for key in passed if view.find(Position(place.position.stream, *key))}
    refused = {key: mine.rejected.pop(key) for key in passed}
    samples = sum(samples for key, samples in refused.items() if key in there)
    gone = min(place.gapped, sum(refused.values()) - samples)
    return replace(
        place, gapped=place.gapped - gone, quarantined=place.quarantined + samples + gone
    )
