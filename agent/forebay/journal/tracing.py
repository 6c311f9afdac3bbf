"""The way of one sample: when it was read, where it lies, and who has got it.

Owns what the files of a journal show of that, and nothing beyond: what a destination made of it is
the destination's to tell. Must not know screens. Nothing is locked; a running agent saves places of
cursors only from time to time, so what is told of them is what was true when they were saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.columnar import decode_anchor
from forebay.errors import JournalCorrupt, RequestInvalid
from forebay.journal import cursor_file
from forebay.journal.cursor import PLUGIN
from forebay.journal.export import FOREVER_NS, Block, Choice, Selection
from forebay.model import Position, RecordKind, Stream

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from forebay.journal.cursor_file import Remembered
    from forebay.journal.offline import OfflineJournal, SegmentFile
    from forebay.model import Anchor, Record, Schema, Tag

HAS, REFUSED, WAITS = "has it", "refused it", "waits"


class Sample(NamedTuple):
    """One sample as a reader sees it. Times are of the source and of receipt, wall clock."""

    device: str
    group: str
    tag: Tag
    value: bool | int | float | str | bytes | None
    quality: int
    time_ns: int
    received_ns: int


class Consumer(NamedTuple):
    """How one consumer stands to a record. `name` is an uplink's, or a plugin's if `plugin`.

    `state` is HAS, REFUSED or WAITS; `reached` is the last position up to which it is done.
    """

    name: str
    plugin: bool
    state: str
    reached: Position


class Trace(NamedTuple):
    """The way of a sample. `anchor` is what the clock was known to be, None if nobody said."""

    sample: Sample
    record: Record
    file: str
    anchor: Anchor | None
    consumers: tuple[Consumer, ...]
    aside: tuple[str, ...]


def trace(journal: OfflineJournal, device: str, tag: str, until_ns: int | None = None) -> Trace:
    """Follow the sample of a tag with the newest source time, or the last one up to `until_ns`.

    Blocks: reads segments from the newest back until one has it, and those before it that reach
    beyond its time. RequestInvalid if none has.
    """
    exact = Choice(
        streams=(Stream.TELEMETRY,),
        end_ns=FOREVER_NS if until_ns is None else until_ns,
        device=_literal(device),
        tag=_literal(tag),
    )
    files = journal.segments(Stream.TELEMETRY)
    best: tuple[int, Record, Sample] | None = None
    for at in reversed(range(len(files))):
        ends = journal.ends(files[at])
        if ends and ends.summary.time_min_ns > exact.end_ns:
            continue
        if best is not None and ends and ends.summary.time_max_ns <= best[2].time_ns:
            continue  # not the end of it: what filled a hole lies behind what was read live
        schemas = list(journal.schemas.of(files[at]))
        if ends and not any(_has(s, device, tag) for s in schemas):
            continue
        found = _newest(journal, files[at], exact)
        if found is not None and (best is None or found[1].time_ns > best[2].time_ns):
            best = at, *found
    if best is None:
        when = "" if until_ns is None else " up to then"
        raise RequestInvalid(
            f"the journal has no sample of {device}/{tag}{when}",
            hint="`forebay tags` lists them; what was delivered and is old has gone from the box",
        )
    at, record, sample = best
    return Trace(
        sample,
        record,
        files[at].path.name,
        _anchor(journal, files[: at + 1], record.position),
        tuple(consumers(journal, record.position)),
        tuple(_aside(journal, record.position)),
    )


def by_now(found: Trace, idle: Container[str]) -> Trace:
    """Give the same with what was learned since: for uplinks in `idle` nothing waits any more."""
    after = (
        one._replace(state=HAS)
        if one.state == WAITS and not one.plugin and one.name in idle
        else one
        for one in found.consumers
    )
    return found._replace(consumers=tuple(after))


def consumers(journal: OfflineJournal, position: Position) -> Iterator[Consumer]:
    """Give how each consumer that has a cursor stands to what is at `position`."""
    for name in sorted(journal.names("cursors")):
        if not name.endswith(".json"):
            continue
        path = journal.directory / "cursors" / name
        try:
            data = journal.read_bytes(path, cursor_file.FILE_BYTES_MAX) or b""
            known = cursor_file.parse(data).get(position.stream)
        except ValueError:
            continue  # it is being replaced, or damaged: `forebay journal verify` tells
        label = name.removesuffix(".json")
        plugin = label.startswith(PLUGIN)
        reached = known.place.position if known else Position(position.stream, 0, 0)
        yield Consumer(label.removeprefix(PLUGIN), plugin, _state(known, position), reached)


def _state(known: Remembered | None, position: Position) -> str:
    if known is None:
        return WAITS
    key = position[1:]
    if key in known.rejected:
        return REFUSED
    island = any(run.first <= key <= run.last for run in known.islands)
    return HAS if position <= known.place.position or island else WAITS


def _aside(journal: OfflineJournal, position: Position) -> Iterator[str]:
    """Give the uplinks for which a copy is set aside."""
    name = f"{position.stream.value}-{position.epoch:016x}-{position.seq:016x}.rec"
    for uplink in sorted(journal.names("quarantine")):
        if name in journal.names(f"quarantine/{uplink}"):
            yield uplink


def _newest(
    journal: OfflineJournal, file: SegmentFile, choice: Choice
) -> tuple[Record, Sample] | None:
    """Give the sample with the newest source time of a segment, of equal ones the last."""
    content = journal.read(file)
    selection = Selection(choice, journal.schemas)
    best: tuple[Record, Sample] | None = None
    for record in content.records() if content else ():
        for item in selection.items(record):
            if isinstance(item, Block):
                sample = _sample(item)
                if best is None or sample.time_ns >= best[1].time_ns:
                    best = record, sample
    return best


def _sample(block: Block) -> Sample:
    """Give the newest of the chosen samples of a record."""
    found, schema = block.found, block.found.schema
    times = found.times_ns[found.scans[block.kept]]
    at = int(block.kept[len(times) - 1 - int(times[::-1].argmax())])
    scan = int(found.scans[at])
    return Sample(
        schema.source,
        schema.group,
        schema.tags[int(found.columns[at])],
        found.values()[at],
        int(found.quality[at]),
        int(found.times_ns[scan]),
        int(found.received_ns[scan]),
    )


def _anchor(journal: OfflineJournal, files: list[SegmentFile], position: Position) -> Anchor | None:
    """Give the last anchor before `position`, in its epoch: each begins with one."""
    for file in reversed(files):
        if file.place.epoch != position.epoch:
            return None
        content = journal.read(file)
        anchors = [
            record
            for record in (content.records() if content else ())
            if record.kind is RecordKind.ANCHOR and record.position < position
        ]
        for record in reversed(anchors):
            try:
                return decode_anchor(record.payload)
            except JournalCorrupt:
                continue
    return None


def _has(schema: Schema, device: str, tag: str) -> bool:
    return schema.source == device and any(one.name == tag for one in schema.tags)


def _literal(text: str) -> str:
    """Give the shell pattern that fits `text` alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
