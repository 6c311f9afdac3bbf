"""Answers about values as messages of values.proto: columns, not a message a sample.

Owns how columns are made. Must not know gRPC, nor how anything is found. Everything here blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay_fleet._proto import uplink_pb2
from forebay_fleet._proto import values_pb2 as pb
from forebay_fleet.query import Clock
from forebay_fleet.values import asking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay_fleet.losses import Loss
    from forebay_fleet.query import Value
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.asking import Asked, Missing
    from forebay_fleet.values.tailing import Look, Tail
    from forebay_fleet.watermark import Watermark

_CLOCKS = {
    Clock.RIGHT: pb.CLOCK_RIGHT,
    Clock.MENDED: pb.CLOCK_MENDED,
    Clock.UNSYNCED: pb.CLOCK_UNSYNCED,
}
_NOTHING: dict[str, Any] = {
    "flags": False,
    "integers": 0,
    "naturals": 0,
    "numbers": 0.0,
    "texts": "",
    "blobs": b"",
}
"""What stands in a column where there is no value."""


def newest(store: StoreReader, asked: Asked, span_ns: tuple[int, int], limit: int) -> bytes:
    """Answer with what `asking.newest` finds; raises as that does, as all of these do."""
    reply = pb.NewestReply()
    for one in asking.newest(store, asked, span_ns, limit):
        reply.series.add(
            tag=one.tag,
            unit=one.unit,
            parts=_samples(one.values, wide=one.wide),
            missing=_losses(one.missing),
            missing_more=one.missing.more,
        )
    return reply.SerializeToString()


def by_position(store: StoreReader, asked: Asked, after: tuple[int, int], limit: int) -> bytes:
    """Answer with what `asking.by_position` finds."""
    found = asking.by_position(store, asked, after, limit)
    values, unit, reached, mark = found.page
    parts = _samples(values, wide=found.wide)
    return pb.OrderedReply(
        series=pb.Series(tag=asked.tag, unit=unit, parts=parts),
        after=_position(reached),
        watermark=None if mark is None else _mark(mark),
    ).SerializeToString()


def gateways(store: StoreReader, pattern: str, after: str, limit: int) -> bytes:
    """Answer with what `asking.gateways` finds."""
    page = asking.gateways(store, pattern, after, limit)
    names = [field.name for field in pb.Gateway.DESCRIPTOR.fields]
    rows = [pb.Gateway(**{name: getattr(row, name) for name in names}) for row in page.rows]
    return pb.GatewaysReply(gateways=rows, after=page.after or "").SerializeToString()


def tags(store: StoreReader, asked: Asked, after: str, limit: int) -> bytes:
    """Answer with what `asking.tags` finds."""
    page = asking.tags(store, asked, after, limit)
    rows = [pb.Tag(**tag._asdict()) for tag in page.tags]
    return pb.TagsReply(tags=rows, after=page.after or "").SerializeToString()


def marks(store: StoreReader, gateway: str) -> bytes:
    """Answer with what `asking.marks` finds."""
    found = [_mark(one) for one in asking.marks(store, gateway)]
    return pb.WatermarksReply(watermarks=found).SerializeToString()


def ranges(store: StoreReader, asked: Asked, span_ns: tuple[int, int], steps: int) -> bytes:
    """Answer with what `asking.ranges` finds."""
    reply = pb.RangesReply()
    for one in asking.ranges(store, asked, span_ns, steps):
        own = one.found.steps._asdict()
        reply.series.add(
            tag=one.tag,
            unit=one.found.unit,
            start_ns=own.pop("start_ns"),
            step_ns=own.pop("step_ns"),
            missing=_losses(one.missing),
            missing_more=one.missing.more,
            **{name: column.tolist() for name, column in own.items()},
        )
    return reply.SerializeToString()


def look(tail: Tail, found: Look) -> bytes:
    """Tell of one look of a tail."""
    reply = pb.LiveReply()
    for fresh in found.fresh:
        parts = _samples(fresh.values, wide=fresh.wide)
        reply.series.add(tag=fresh.tag, unit=fresh.unit, parts=parts)
    for missed in found.missed:
        name = uplink_pb2.Stream.Name(missed.stream).lower()
        reply.missed.add(stream=name, epoch=missed.epoch, first=missed.first, last=missed.last)
    for stream, position in sorted(tail.at.items()):
        name = uplink_pb2.Stream.Name(stream).lower()
        reply.at.add(stream=name, position=_position(position))
    return reply.SerializeToString()


def _samples(values: Sequence[Value], *, wide: bool) -> Iterator[pb.Samples]:
    """Give columns, anew where the type changes."""
    for kind, run in _runs(values, wide=wide):
        clocks, epochs = [_CLOCKS[v.clock] for v in run], [v.epoch for v in run]
        part = pb.Samples(
            time_ns=[v.time_ns for v in run],
            received_ns=[v.received_ns for v in run],
            status=[v.quality for v in run],
            clock=clocks if len(set(clocks)) > 1 else clocks[:1],
            epoch=epochs if len(set(epochs)) > 1 else epochs[:1],
            seq=[v.seq for v in run],
        )
        if kind:
            nothing = _NOTHING[kind]
            getattr(part, kind).entries.extend(
                [nothing if v.value is None else v.value for v in run]
            )
        yield part


def _runs(values: Sequence[Value], *, wide: bool) -> Iterator[tuple[str, list[Value]]]:
    """Cut samples into runs of one kind, "" if all of them are bad; a bad one fits into any."""
    kind = ""
    run: list[Value] = []
    for value in values:
        own = "" if value.value is None else _kind(value.value, wide=wide)
        if kind and own and own != kind:
            yield kind, run
            run = []
        kind = own or kind
        run.append(value)
    if run:
        yield kind, run


def _kind(value: float | str | bytes, *, wide: bool) -> str:
    """Give in which of the columns of Samples a value goes."""
    if isinstance(value, bool):
        return "flags"
    if isinstance(value, int):
        return "naturals" if wide and value >= 0 else "integers"
    if isinstance(value, float):
        return "numbers"
    return "texts" if isinstance(value, str) else "blobs"


def _losses(missing: Missing) -> Iterator[pb.Loss]:
    return map(_loss, missing.losses)


def _loss(loss: Loss) -> pb.Loss:
    return pb.Loss(**loss._asdict())


def _mark(watermark: Watermark) -> pb.Watermark:
    return pb.Watermark(
        stream=uplink_pb2.Stream.Name(watermark.stream).lower(),
        position=_position(watermark.position),
        open=watermark.open,
    )


def _position(position: tuple[int, int]) -> pb.Position:
    return pb.Position(epoch=position[0], seq=position[1])
