"""What happened, out of the journal: events of devices, deeds of people, and what is missing.

Owns how a row of `events` or `audit` becomes one happening, and the walk from the newest back. Must
not know screens. Other processes may write meanwhile: nothing is locked.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.journal.export import Absence, Block, Selection
from forebay.model import Position, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from forebay.journal.export import Choice, Item
    from forebay.journal.offline import OfflineJournal, SegmentFile
    from forebay.model import Record

STREAMS = (Stream.AUDIT, Stream.EVENTS)
EVENT, DEED, GAP = "event", "deed", "gap"


class Happening(NamedTuple):
    """One thing that happened at the source time `time_ns`, 0 where nobody knows when.

    `kind` is EVENT (a device's, or a plugin's), DEED (a write, a change of configuration: see
    `writing.audit`) or GAP. `fields` are the row's values that there are, by column, or what is
    known of the gap.
    """

    position: Position
    time_ns: int
    kind: str
    source: str
    fields: Mapping[str, Any]


def newest(
    journal: OfflineJournal,
    choice: Choice,
    most: int,
    kind: str = "",
    until: Mapping[Stream, Position] | None = None,
) -> list[Happening]:
    """Give the newest `most` happenings of `choice`, oldest first; of one `kind`, or any. Blocks.

    With positions in `until` only what lies up to them, and of a stream without one nothing. Of
    streams without rows of that kind, only what is missing is told. In memory is one segment.
    JournalMissing if there is no journal.
    """
    found: list[Happening] = []
    for stream in choice.streams if until is None else until:
        mine: list[Happening] = []
        last = None if until is None else until[stream]
        for file in reversed(journal.segments(stream)):
            if _concerns(journal, file, choice):
                content = journal.read(file)
                told = _of(journal, content.records() if content else (), choice)
                here = [one for one in told if kind in ("", one.kind)]
                mine[:0] = [one for one in here if last is None or one.position <= last][-most:]
            if len(mine) >= most:
                break
        found += mine[-most:]
    found.sort(key=lambda one: one.time_ns)
    return found[-most:]


def since(
    journal: OfflineJournal, choice: Choice, after: Mapping[Stream, Position]
) -> tuple[list[Happening], dict[Stream, Position]]:
    """Give what came behind these positions, oldest first; of a stream without one, all.

    With it how far was read, by stream: whoever follows asks on from there.
    """
    found: list[Happening] = []
    reached = dict(after)
    for stream in choice.streams:
        files, last = journal.segments(stream), after.get(stream, Position(stream, 0, 0))
        begins = [Position(stream, *file.place) for file in files]
        first = max((n for n, begin in enumerate(begins) if begin <= last), default=0)
        for file in files[first:]:
            content = journal.read(file)
            records = list(content.records()) if content else []
            found += _of(journal, records, choice, last)
            if records:
                reached[stream] = max(last, records[-1].position)
    found.sort(key=lambda one: one.time_ns)
    return found, reached


def ends(journal: OfflineJournal, choice: Choice) -> dict[Stream, Position]:
    """Give the position of the last record of each stream, of those that have any."""
    found = {}
    for stream in choice.streams:
        for file in reversed(journal.segments(stream)):
            content = journal.read(file)
            last = [record.position for record in content.records()] if content else []
            if last:
                found[stream] = last[-1]
                break
    return found


def _concerns(journal: OfflineJournal, file: SegmentFile, choice: Choice) -> bool:
    """Whether a segment may hold anything of it: by its index, where that is sealed."""
    sealed = journal.index(file)
    if sealed is None:
        return True
    rows = sealed[1]
    told = rows[(rows["kind"] == RecordKind.BATCH) | (rows["kind"] == RecordKind.GAP)]
    if file.stream not in STREAMS:
        told = told[told["kind"] == RecordKind.GAP]
    return any(choice.overlaps(int(row["time_min_ns"]), int(row["time_max_ns"])) for row in told)


def _of(
    journal: OfflineJournal,
    records: Iterable[Record],
    choice: Choice,
    after: Position | None = None,
) -> list[Happening]:
    """Give what a segment's records tell, behind `after`; what lies up to there is not decoded."""
    selection = Selection(choice, journal.schemas)
    found: list[Happening] = []
    for record in records:
        passed = after is not None and record.position <= after
        readings = record.kind is RecordKind.BATCH and record.position.stream not in STREAMS
        if readings or (passed and record.kind is not RecordKind.SCHEMA):
            continue
        for item in selection.items(record):
            found += _happened(item)
    return found


def _happened(item: Item) -> Iterator[Happening]:
    if isinstance(item, Absence):
        told = {"cause": item.cause, "samples": item.samples, "to_ns": item.time_to_ns}
        yield Happening(item.position, item.time_from_ns, GAP, item.source, told)
        return
    yield from _rows(item)


def _rows(block: Block) -> Iterator[Happening]:
    """Give one happening a row; a row of a batch is one event."""
    found = block.found
    kind = DEED if block.position.stream is Stream.AUDIT else EVENT
    values = found.values()
    rows: dict[int, dict[str, Any]] = defaultdict(dict)
    for at in block.kept.tolist():
        if values[at] is not None:
            tag = found.schema.tags[int(found.columns[at])]
            rows[int(found.scans[at])][tag.name] = values[at]
    for scan, fields in rows.items():
        yield Happening(
            block.position, int(found.times_ns[scan]), kind, found.schema.source, fields
        )
