"""Cursors: how far each consumer is, kept in one readable file a consumer.

Owns `cursors/NAME.json`. A cursor is a hint, since the destination is the authority on resume: a
file that is missing or damaged means a start at the beginning, and what is no longer on disk then
counts as gapped. Only consumers that somebody asked for in this run matter to retention; the files
of all others stay as they are.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.journal import ledger
from forebay.journal.ledger import Place
from forebay.journal.record import crc32c
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.files import Disk
    from forebay.journal.catalog import Catalog, IndexCache, Segment, View
    from forebay.journal.ledger import Account

FILE_BYTES_MAX = 1 << 20
_FORMAT = 1
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


class Unsaved(NamedTuple):
    """A cursor file's content, the positions in it, and the number of the change it goes up to."""

    content: bytes
    positions: dict[Stream, Position]
    changes: int


class Witness(NamedTuple):
    """The destination's own words: the hash chain that it had at a position.

    `incarnation` is that of the destination: another one has another history.
    """

    position: Position
    chain: bytes
    incarnation: str


class Cursor:
    """One consumer's place in each stream.

    `get`, `advance` and `reject` may be called from any thread and never touch the disk.
    """

    def __init__(
        self,
        name: str,
        places: dict[Stream, Place],
        rejected: dict[Stream, dict[tuple[int, int], int]],
        witnesses: dict[Stream, Witness],
    ) -> None:
        """Start at `places`; `rejected` is what is refused ahead of them.

        The first save writes it in any case, so that retention knows this consumer from then on.
        """
        self.name = name
        self._lock = threading.Lock()
        self._places = places
        self._targets = {stream: place.position for stream, place in places.items()}
        self._durable = dict(self._targets)
        self._rejected = rejected
        self._witnesses = witnesses
        self._changes, self._saved = 1, 0

    def arrive(self, catalog: Catalog) -> None:
        """Come, before anybody else has this cursor: what is no longer on disk is gapped."""
        for stream in Stream:
            self._places[stream] = ledger.arrived(catalog.view(stream), self._places[stream])

    def get(self, stream: Stream) -> Position:
        """Give the last position that the consumer is done with; `(stream, 0, 0)` for none."""
        return self._targets[stream]

    def advance(self, position: Position) -> None:
        """Note that the consumer is done with everything up to `position`; never goes back."""
        with self._lock:
            if position > self._targets[position.stream]:
                self._targets[position.stream] = position
                self._changes += 1

    def reject(self, position: Position, samples: int) -> None:
        """Note that the destination refused the record at `position` for good.

        Its `samples` count as quarantined, once, when the cursor passes it. Only for records that
        are sent and not yet acknowledged, which bounds how many are kept.
        """
        place = (position.epoch, position.seq)
        with self._lock:
            if position > self._places[position.stream].position:
                self._rejected[position.stream].setdefault(place, samples)
                self._changes += 1

    def witness(self, stream: Stream) -> Witness | None:
        """Give what `testify` was last told of `stream`."""
        return self._witnesses.get(stream)

    def testify(self, position: Position, chain: bytes, incarnation: str) -> None:
        """Note that the destination has the hash chain `chain` at `position`.

        A later session tells by it whether this is still the journal that the destination knows.
        """
        with self._lock:
            self._witnesses[position.stream] = Witness(position, chain, incarnation)
            self._changes += 1

    def settle(
        self, stream: Stream, catalog: Catalog, cache: IndexCache, *, blind: bool = False
    ) -> Segment | None:
        """Bring the account up to the position, if that needs no disk.

        Else give the segment whose index it needs; `blind` goes without, as if the position were
        at that segment's beginning.
        """
        with self._lock:
            place, target = self._places[stream], self._targets[stream]
            if place.position == target:
                return None
            view, damaged = catalog.picture(stream)
            segment = view.find(target)
            rows = None
            if segment is not None and segment.last != target:
                rows = cache.peek(segment)
                if rows is None and not blind:
                    return segment
            moved = ledger.move(view, place, target, rows, damaged)
            self._places[stream] = self._quarantine(moved, view)
            return None

    def passed(self, stream: Stream) -> Position:
        """Give the position that is on disk: what lies behind it may be asked for again."""
        return self._durable[stream]

    def account(self, stream: Stream, catalog: Catalog, cache: IndexCache) -> Account:
        """Give the account of `stream`, as of the last place that could be settled."""
        self.settle(stream, catalog, cache)
        with self._lock:  # retention drops silently only what lies before the place of this moment
            place = self._places[stream]
            view, damaged = catalog.picture(stream)
        return ledger.account(view, place, damaged)

    def unsaved(self) -> Unsaved | None:
        """Give what to write, or None if nothing changed since the last save."""
        with self._lock:
            if self._changes == self._saved:
                return None
            settled = {stream: place.position for stream, place in self._places.items()}
            streams = {
                stream.value: _to_json(
                    self._places[stream], self._rejected[stream], self._witnesses.get(stream)
                )
                for stream in Stream
                if self._places[stream].counted_to.epoch
                or self._rejected[stream]
                or stream in self._witnesses
            }
            changes = self._changes if settled == self._targets else self._saved
        return Unsaved(_file_text(streams), settled, changes)

    def saved(self, what: Unsaved) -> None:
        """Note that `what` is on disk."""
        self._durable, self._saved = what.positions, what.changes

    def _quarantine(self, place: Place, view: View) -> Place:
        """Move what was refused and is now passed from delivered to quarantined.

        What retention took before it was passed is gapped already.
        """
        waiting = self._rejected[place.position.stream]
        passed = [key for key in waiting if key <= place.position[1:]]
        there = {key for key in passed if view.find(Position(place.position.stream, *key))}
        refused = {key: waiting.pop(key) for key in passed}
        samples = sum(samples for key, samples in refused.items() if key in there)
        return replace(place, quarantined=place.quarantined + samples)


def _to_json(
    place: Place, rejected: dict[tuple[int, int], int], witness: Witness | None
) -> dict[str, Any]:
    told = witness and {
        "epoch": f"{witness.position.epoch:016x}",
        "seq": witness.position.seq,
        "chain": witness.chain.hex(),
        "incarnation": witness.incarnation,
    }
    return {
        "epoch": f"{place.position.epoch:016x}",
        "seq": place.position.seq,
        "reached_samples": place.reached,
        "gapped_samples": place.gapped,
        "quarantined_samples": place.quarantined,
        "lost_samples": place.lost,
        "edge": place.edge and [f"{place.edge.epoch:016x}", place.edge.seq],
        "witness": told,
        "rejected": [[f"{epoch:016x}", seq, n] for (epoch, seq), n in sorted(rejected.items())],
    }


def _from_json(stream: Stream, data: dict[str, Any]) -> _Remembered:
    edge = data["edge"]
    place = Place(
        position=Position(stream, int(data["epoch"], 16), int(data["seq"])),
        reached=int(data["reached_samples"]),
        gapped=int(data["gapped_samples"]),
        quarantined=int(data["quarantined_samples"]),
        lost=int(data["lost_samples"]),
        edge=edge and Position(stream, int(edge[0], 16), int(edge[1])),
    )
    rejected = {(int(epoch, 16), int(seq)): int(n) for epoch, seq, n in data["rejected"]}
    told = data["witness"]
    witness = told and Witness(
        Position(stream, int(told["epoch"], 16), int(told["seq"])),
        bytes.fromhex(told["chain"]),
        str(told["incarnation"]),
    )
    return _Remembered(place, rejected, witness)


def _check(streams: dict[str, Any]) -> str:
    """Give the CRC32C of the content, whatever its white space."""
    return f"{crc32c(json.dumps(streams, sort_keys=True).encode()):08x}"


def _file_text(streams: dict[str, Any]) -> bytes:
    text = {"format": _FORMAT, "crc32c": _check(streams), "streams": streams}
    return (json.dumps(text, indent=2) + "\n").encode()


def intact(data: bytes) -> bool:
    """Whether `data` is a cursor file, byte for byte as a save leaves it."""
    try:
        streams = json.loads(data)["streams"]
        for stream, values in streams.items():
            _from_json(Stream(stream), values)
        return _file_text(streams) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


class _Remembered(NamedTuple):
    """What a file says of one stream."""

    place: Place
    rejected: dict[tuple[int, int], int]
    witness: Witness | None


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
        """Held while a consumer comes, and while retention settles what no consumer can get."""

    def load(self) -> tuple[str, ...]:
        """Read all cursor files, for the consumers that come.

        Gives the names of those that were damaged and start at the beginning. Blocks. OSError only
        if the directory itself cannot be read.
        """
        damaged = []
        for name in self._names():
            cursor, whole = self._read(name)
            self._remembered[name] = cursor
            if not whole:
                damaged.append(name)
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
                cursor = self._remembered.pop(name, None) or _fresh(name)
                cursor.arrive(self._catalog)
                self._cursors = self._cursors | {name: cursor}
        return cursor

    def all(self) -> tuple[Cursor, ...]:
        """Give the cursors of all consumers that have come in this run."""
        return tuple(self._cursors.values())

    def settle(self) -> None:
        """Bring every account up to its position. Blocks: may read indexes."""
        for cursor in self.all():
            for stream in Stream:
                while segment := cursor.settle(stream, self._catalog, self._cache):
                    if self._index(segment) is None:
                        cursor.settle(stream, self._catalog, self._cache, blind=True)

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
        places = {stream: Place(Position(stream, 0, 0), 0) for stream in Stream}
        for stream, known in found.items():
            view = self._catalog.view(stream)
            segment = view.find(known.place.position)
            rows = None if segment is None else self._index(segment)
            places[stream] = ledger.settled(view, known.place, rows)
        rejected = {stream: found[stream].rejected if stream in found else {} for stream in Stream}
        witnesses = {stream: known.witness for stream, known in found.items() if known.witness}
        return Cursor(name, places, rejected, witnesses), whole

    def _parse(self, name: str) -> tuple[dict[Stream, _Remembered], bool]:
        """Read one file's content; nothing and False if it is damaged."""
        try:
            data = self._disk.read_bytes(self._directory / f"{name}.json", FILE_BYTES_MAX)
            text = json.loads(data)
            streams = text["streams"]
            found = {Stream(s): _from_json(Stream(s), values) for s, values in streams.items()}
            whole = (text["format"], text["crc32c"]) == (_FORMAT, _check(streams))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            found, whole = {}, False
        return (found, True) if whole else ({}, False)


def _fresh(name: str) -> Cursor:
    places = {stream: Place(Position(stream, 0, 0), 0) for stream in Stream}
    return Cursor(name, places, {stream: {} for stream in Stream}, {})
