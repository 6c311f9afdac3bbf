"""Values as they are committed: what came since the last look.

Owns what is new of a gateway, and what is left out for who looks too seldom. Keeps nothing of it:
all is in the store, so a slow reader costs no memory. Must not know HTTP. Blocks.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.query import TagHistory, size_bytes
from forebay_fleet.store.history import Place
from forebay_fleet.values.asking import Asked, is_wide, open_history
from forebay_fleet.values.selecting import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.query import Value
    from forebay_fleet.store.history import TailRow
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.selecting import Selected
    from forebay_fleet.walking import GatewayHistory

MOST_TAGS = 200
MOST_VALUES = 5_000
"""Of one look, but for the last record's."""
HEAVY_BYTES = 200
"""Of a text or a blob: so many count as one more value."""
MOST_BEHIND = 20_000
"""Positions that a reader may lag behind. Who lags more is told, and gets the last KEPT."""
KEPT = 1_000


class Fresh(NamedTuple):
    """New values of one tag, in the order of positions. `wide`: see `is_wide`."""

    tag: str
    unit: str
    values: list[Value]
    wide: bool = False


class Missed(NamedTuple):
    """Positions of one line, both ends inclusive, that were left out."""

    stream: int
    epoch: int
    first: int
    last: int


class Look(NamedTuple):
    """What is new, and what was left out. `more`: there is more already."""

    fresh: list[Fresh]
    missed: list[Missed]
    more: bool


class _Column(NamedTuple):
    """Where values of a tag are in one schema."""

    tag: TagHistory
    schema: SchemaView
    number: int
    nothing: Fresh


class Tail:
    """Of one reader. `at` is how far it is in each stream: (epoch, seq)."""

    def __init__(self, asked: Asked, at: Mapping[int, tuple[int, int]] | None = None) -> None:
        """Begin behind `at`; in a stream that it does not name, with what comes from now on."""
        self._asked = asked
        self.at: dict[int, tuple[int, int]] = dict(at or {})
        self._done: dict[int, int] | None = None  # line -> the last position that was looked at
        self._selected: list[Selected] = []
        self._known: set[int] = set()  # schemas that were there when that was looked up

    def look(self, store: StoreReader) -> Look:
        """Give what was committed since the last look.

        Raises:
            UsageError: no such gateway or tag.
            DecodingError: the store holds what cannot be read.
        """
        history = open_history(store, self._asked)
        tails = history.history.tails(history.gateway_id)
        if self._done is None:
            self._selected = select(history, self._asked.tag, MOST_TAGS)
            self._done = self._begin(tails)
        fresh: dict[str, Fresh] = {}
        missed: list[Missed] = []
        for line in tails:
            done = self._done.get(line.id, 0)
            if line.committed - done > MOST_BEHIND:
                missed.append(Missed(line.stream, line.epoch, done + 1, line.committed - KEPT))
                done = line.committed - KEPT
            if line.committed > done:
                done = self._walk(history, Place(line.id, done + 1, line.committed), fresh)
                self.at[line.stream] = (line.epoch, done)
            self._done[line.id] = done
            if done < line.committed:
                return Look(list(fresh.values()), missed, more=True)
        return Look(list(fresh.values()), missed, more=False)

    def _begin(self, tails: Sequence[TailRow]) -> dict[int, int]:
        """Give where each line is to go on."""
        done = {line.id: line.committed for line in tails}
        for stream, (epoch, seq) in self.at.items():
            of_stream = [line for line in tails if line.stream == stream]
            at = next((n for n, line in enumerate(of_stream) if line.epoch == epoch), None)
            if at is not None:
                done |= {line.id: 0 for line in of_stream[at + 1 :]}
                done[of_stream[at].id] = min(seq, of_stream[at].committed)
        for line in tails:
            if done[line.id]:
                self.at[line.stream] = (line.epoch, done[line.id])
        return done

    def _walk(self, history: GatewayHistory, place: Place, fresh: dict[str, Fresh]) -> int:
        """Add values of a place to `fresh`; give the position up to which it was read."""
        schemas = set(history.history.schemas_in(place))
        if not schemas <= self._known:
            self._selected = select(history, self._asked.tag, MOST_TAGS)
            self._known |= schemas
        wanted = _columns(history, self._selected)
        walks = [history.history.ordered(place, number) for number in schemas & wanted.keys()]
        taken = 0
        for record in heapq.merge(*walks, key=lambda row: row.seq):
            if taken >= MOST_VALUES:
                return record.seq - 1
            for column in wanted[record.schema_id or 0]:
                found = list(column.tag.values(record, column.schema, column.number))
                none = column.nothing
                if found:
                    fresh.setdefault(none.tag, none._replace(values=[])).values.extend(found)
                taken += sum(1 + size_bytes(value) // HEAVY_BYTES for value in found)
        return place.last


def _columns(history: GatewayHistory, selected: Sequence[Selected]) -> dict[int, list[_Column]]:
    found: dict[int, list[_Column]] = {}
    for one in selected:
        tag = TagHistory.of(history, one.path, one.columns)
        wide = is_wide(tag)
        for schema, number in one.columns:
            nothing = Fresh(one.path, schema.message.tags[number].unit, [], wide)
            own = _Column(tag, schema, number, nothing)
            found.setdefault(schema.message.id, []).append(own)
    return found
