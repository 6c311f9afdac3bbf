"""Translation at the edge: the model's words to messages of `uplink.proto` and back.

Owns every check of what the server says before the forwarder sees it. Must not know sessions,
sockets or files: the uplink sends these messages, and `management.collecting` has them carried by
hand. A payload passes as it is: journal bytes are wire bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from forebay._proto import uplink_pb2 as pb
from forebay.errors import UplinkMisbehaved, UplinkUnavailable
from forebay.interfaces import Head, Receipt, Resume, Terms
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.interfaces import Offer
    from forebay.model import Record

DEFAULT_MAX_RECORD_BYTES = 4 << 20
"""Assumed where a server names no limit: gRPC's own default for one message."""

_CHAIN_BYTES = 32  # SHA-256
_STREAMS = {stream.number: stream for stream in Stream}
_NUMBERS = {stream: cast("pb.Stream", stream.number) for stream in Stream}


def hello(offer: Offer, wall_ns: int, version: str) -> pb.FromGateway:
    """Give the message that opens a session.

    The epoch that is written in is a head of every stream, also of one in which it has nothing yet:
    the server then knows that nothing is added to older ones.
    """
    told = {(head.stream, head.epoch) for head in offer.heads}
    fresh = [
        Head(stream, offer.epoch, 1, 1)
        for stream in Stream
        if offer.epoch and (stream, offer.epoch) not in told
    ]
    heads = [
        pb.Head(
            stream=_NUMBERS[head.stream],
            epoch=head.epoch,
            first_seq=head.first_seq,
            next_seq=head.next_seq,
        )
        for head in (*offer.heads, *fresh)
    ]
    return pb.FromGateway(
        hello=pb.Hello(
            gateway=offer.gateway,
            boot_id=offer.boot_id,
            session=offer.session,
            heads=heads,
            wall_ns=wall_ns,
            version=version,
        )
    )


def group(
    records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
) -> pb.FromGateway:
    """Give the message that carries `records`, in order; see `Uplink.send`."""
    message = pb.FromGateway()
    add = message.records.records.add
    for number, record in enumerate(records):
        stream, epoch, seq = record.position
        add(
            stream=_NUMBERS[stream],
            epoch=epoch,
            seq=seq,
            kind=int(record.kind),
            revision=record.revision,
            samples=record.samples,
            time_min_ns=record.time_min_ns,
            time_max_ns=record.time_max_ns,
            crc=record.crc,
            hash=record.hash,
            payload=record.payload,
            historical=historical,
            thinned=record.thinned,
            absent_from=absent_from[number] if absent_from else 0,
        )
    return message


def terms(welcome: pb.Welcome) -> Terms:
    """Read a Welcome. Streams that this version does not know are passed over."""
    return Terms(
        incarnation=welcome.incarnation,
        resume=resumes(welcome.committed),
        credit_bytes=welcome.credit_bytes,
        max_record_bytes=welcome.max_record_bytes or DEFAULT_MAX_RECORD_BYTES,
        newest_epoch=welcome.newest_epoch,
    )


def resumes(committed: Iterable[pb.Committed]) -> tuple[Resume, ...]:
    """Read how far a server has each line. Streams that this version does not know are left out.

    Raises UplinkMisbehaved for runs that make no sense.
    """
    return tuple(
        Resume(
            *(_STREAMS[c.stream], c.epoch, c.committed_seq, _chain(c), _islands(c)),
            gapped=_runs(c.gapped, 1),
        )
        for c in committed
        if c.stream in _STREAMS
    )


def stream(number: int) -> Stream | None:
    """Give the stream with a number of `uplink.proto`, None for one that is not known."""
    return _STREAMS.get(number)


def _chain(committed: pb.Committed) -> bytes:
    """Give the chain of a Committed; empty if the server tells none that can be one."""
    return committed.chain if len(committed.chain) == _CHAIN_BYTES else b""


def _islands(committed: pb.Committed) -> tuple[tuple[int, int], ...]:
    """Give what it has beyond what it has whole; UplinkMisbehaved if that makes no sense."""
    return _runs(committed.islands, committed.committed_seq + 2)


def _runs(islands: Iterable[pb.Island], lowest: int) -> tuple[tuple[int, int], ...]:
    """Give runs from `lowest` on that neither touch nor overlap; UplinkMisbehaved for others."""
    runs = tuple((island.first_seq, island.last_seq) for island in islands)
    for first, last in runs:
        if not lowest <= first <= last:
            raise UplinkMisbehaved(
                f"the server names an impossible run of records, {first} to {last}",
                hint="server and gateway speak different versions: upgrade the older one",
            )
        lowest = last + 2
    return runs


def receipt(ack: pb.Ack) -> Receipt:
    """Read an Ack.

    Raises UplinkMisbehaved for a stream that nobody sent, and UplinkUnavailable for a rejection
    that is not for good: the next session begins behind what is committed, and so sends it again.
    """
    committed = ack.committed
    stream = _STREAMS.get(committed.stream)
    if stream is None:
        raise UplinkMisbehaved(
            f"the server acknowledged a stream numbered {committed.stream}",
            hint="server and gateway speak different versions: upgrade the older one",
        )
    for rejection in ack.rejected:
        if not rejection.permanent:
            raise UplinkUnavailable(
                f"the server could not take {stream} {rejection.seq} now: {rejection.code}",
                hint="it is sent again by itself; if this goes on, look at the server's log",
            )
    return Receipt(
        resume=Resume(
            stream, committed.epoch, committed.committed_seq, _chain(committed), _islands(committed)
        ),
        credit_bytes=ack.credit_bytes,
        rejected=tuple(
            (Position(stream, committed.epoch, r.seq), r.code[:128]) for r in ack.rejected
        ),
        answered=ack.answered if ack.HasField("answered") else None,
    )
