"""Segments and records of a journal directory as people list them, without the agent.

Owns which records are shown. Must not know how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.journal.figures import SegmentInfo
from forebay.journal.segment import HEADER_BYTES
from forebay.model import RecordKind, epoch_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from forebay.journal.offline import OfflineJournal, SegmentFile
    from forebay.model import Record, Stream


def segments(journal: OfflineJournal, streams: Iterable[Stream]) -> list[SegmentInfo]:
    """Give the segments, oldest first within a stream. Blocks."""
    files = [file for stream in streams for file in journal.segments(stream)]
    return [info for info in (_info(journal, file) for file in files) if info is not None]


def _info(journal: OfflineJournal, file: SegmentFile) -> SegmentInfo | None:
    """Give what is known of a segment by its ends or, while it has but one, by its records."""
    stream, place, name = file.stream, file.place, file.path.name
    ends = journal.ends(file)
    if ends is not None:
        one = ends.summary
        return SegmentInfo(
            stream=stream,
            file=name,
            epoch=place.epoch,
            first_seq=place.first_seq,
            last_seq=one.last_seq,
            bytes=one.end - HEADER_BYTES,
            samples=one.samples,
            sealed=True,
            time_min_ns=one.time_min_ns,
            time_max_ns=one.time_max_ns,
        )
    content = journal.read(file)
    if content is None:
        return None
    found = [header for header, _ in content.found()]
    batches = [header for header in found if header.kind == RecordKind.BATCH]
    return SegmentInfo(
        stream=stream,
        file=name,
        epoch=place.epoch,
        first_seq=place.first_seq,
        last_seq=found[-1].seq if found else place.first_seq - 1,
        bytes=max(0, content.records_end - HEADER_BYTES),
        samples=sum(header.own for header in batches),
        sealed=False,
        time_min_ns=min((header.time_min_ns for header in batches), default=0),
        time_max_ns=max((header.time_max_ns for header in batches), default=0),
    )


def records(
    journal: OfflineJournal, stream: Stream, seq_from: int, limit: int, run: int
) -> list[Record]:
    """Give at most `limit` records that can be read. Blocks; in memory is one segment, and these.

    Those from `seq_from` on, of the epoch with the number `run` (0: of the newest); or, if it is 0,
    the newest, of all epochs unless `run` names one.
    """
    files = [f for f in journal.segments(stream) if run in (0, epoch_number(f.place.epoch))]
    found: list[Record] = []
    if not seq_from:
        for file in reversed(files):
            found = [*_read(journal, file), *found][-limit:]
            if len(found) == limit:
                break
        return found
    mine = [file for file in files if file.place.epoch == files[-1].place.epoch]
    begin = max((n for n, file in enumerate(mine) if file.place.first_seq <= seq_from), default=0)
    for file in mine[begin:]:
        found += [record for record in _read(journal, file) if record.position.seq >= seq_from]
        if len(found) >= limit:
            break
    return found[:limit]


def _read(journal: OfflineJournal, file: SegmentFile) -> Iterator[Record]:
    content = journal.read(file)
    yield from content.records() if content else ()
