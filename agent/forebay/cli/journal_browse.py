"""`forebay journal ls` and `show` on a directory: what the agent answers, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import RequestInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from forebay._proto.control_pb2 import SegmentsReply, ShowReply
    from forebay.model import Schema, Stream


def segments(directory: Path, stream: str) -> SegmentsReply:
    """List the segments of a stream, of all if that is empty. JournalMissing, RequestInvalid."""
    from forebay._proto import control_pb2 as pb
    from forebay.files import SystemDisk
    from forebay.journal import browse
    from forebay.journal.offline import OfflineJournal
    from forebay.model import Stream as Streams

    streams = (_stream(stream),) if stream else tuple(Streams)
    found = browse.segments(OfflineJournal(directory, SystemDisk()), streams)
    return pb.SegmentsReply(
        segments=[
            pb.SegmentStatus(
                stream=one.stream.value,
                file=one.file,
                epoch=one.epoch,
                first_seq=one.first_seq,
                last_seq=one.last_seq,
                bytes=one.bytes,
                samples=one.samples,
                sealed=one.sealed,
                time_min_ns=one.time_min_ns,
                time_max_ns=one.time_max_ns,
            )
            for one in found
        ]
    )


def records(directory: Path, stream: str, seq_from: int, limit: int, run: int) -> ShowReply:
    """Summarise records, chosen as `browse.records` says. JournalMissing, RequestInvalid."""
    from forebay._proto import control_pb2 as pb
    from forebay.control.summaries import Summaries
    from forebay.control.wire import message
    from forebay.files import SystemDisk
    from forebay.journal import browse
    from forebay.journal.offline import OfflineJournal

    journal = OfflineJournal(directory, SystemDisk())

    def schema(schema_id: int) -> Schema:
        found = journal.schemas.find(schema_id)
        if found is None:
            raise KeyError(schema_id)
        return found

    found = browse.records(journal, _stream(stream), seq_from, limit, run)
    summaries = Summaries((), schema).now(found)
    return pb.ShowReply(records=[message(pb.RecordSummary, one) for one in summaries])


def _stream(name: str) -> Stream:
    from forebay.model import Stream as Streams

    if name not in tuple(Streams):
        raise RequestInvalid(
            f"there is no stream {name!r}", hint=f"streams are: {', '.join(Streams)}"
        )
    return Streams(name)
