"""The service `Values`: what REST answers, as columns.

Owns the adaption of values.proto to what can be asked. Must not know how anything is found.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from forebay_fleet._proto import uplink_pb2
from forebay_fleet._proto import values_pb2 as pb
from forebay_fleet.errors import StoreError, UsageError
from forebay_fleet.rpc.calls import generic, handler
from forebay_fleet.values import packing
from forebay_fleet.values.asking import MOST_ROWS, MOST_VALUES, Asked, Export
from forebay_fleet.values.ranges import MOST_STEPS
from forebay_fleet.values.selecting import MOST_PATTERN
from forebay_fleet.values.spans import between
from forebay_fleet.values.tailing import Tail
from forebay_fleet.values.telling import sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from forebay_fleet.registry import RegistryThread
    from forebay_fleet.rpc.calls import Call
    from forebay_fleet.store.reader import StoreReader
    from forebay_fleet.values.offer import Offer

PART_BYTES = 256 << 10
"""What one ExportPart carries at most."""
_FORMS = {pb.EXPORT_CSV: "csv", pb.EXPORT_PARQUET: "parquet"}


class ValuesService:
    """Adapts gRPC; see values.proto."""

    def __init__(self, offer: Offer, now_ns: Callable[[], int]) -> None:
        """Answer from `offer`."""
        self._offer, self._now_ns = offer, now_ns

    def add_to(self, server: grpc.aio.Server, registry: RegistryThread) -> None:
        """Have `server` serve the methods of values.proto to who has a token of `registry`."""
        methods: dict[str, tuple[Any, Any]] = {
            "Gateways": (pb.GatewaysRequest, self._gateways),
            "Tags": (pb.TagsRequest, self._tags),
            "Watermarks": (pb.WatermarksRequest, self._watermarks),
            "Newest": (pb.NewestRequest, self._newest),
            "Ordered": (pb.OrderedRequest, self._ordered),
            "Ranges": (pb.RangesRequest, self._ranges),
            "Live": (pb.LiveRequest, self._live),
            "Export": (pb.ExportRequest, self._export),
        }
        service = pb.DESCRIPTOR.services_by_name["Values"]
        assert {method.name for method in service.methods} == methods.keys()
        handlers = {name: handler(registry, *method) for name, method in methods.items()}
        server.add_generic_rpc_handlers((generic(service.full_name, handlers),))

    async def _gateways(self, request: pb.GatewaysRequest, call: Call) -> None:
        limit = _limit(request.limit, 1000, MOST_ROWS)
        page = (_pattern(request.match or "*"), request.after, limit)
        await self._answer(call, lambda store: packing.gateways(store, *page))

    async def _tags(self, request: pb.TagsRequest, call: Call) -> None:
        limit = _limit(request.limit, 1000, MOST_ROWS)
        asked = Asked(request.gateway, _pattern(request.match or "*"), until_s=call.until_s)
        await self._answer(call, lambda store: packing.tags(store, asked, request.after, limit))

    async def _watermarks(self, request: pb.WatermarksRequest, call: Call) -> None:
        await self._answer(call, lambda store: packing.marks(store, request.gateway))

    async def _newest(self, request: pb.NewestRequest, call: Call) -> None:
        asked, span_ns = _asked(request, call), self._span_ns(request)
        limit = _limit(request.limit, 100, MOST_VALUES)
        await self._answer(call, lambda store: packing.newest(store, asked, span_ns, limit))

    async def _ordered(self, request: pb.OrderedRequest, call: Call) -> None:
        asked, after = _asked(request, call), _position(request.after)
        limit = _limit(request.limit, 1000, MOST_VALUES)
        await self._answer(call, lambda store: packing.by_position(store, asked, after, limit))

    async def _ranges(self, request: pb.RangesRequest, call: Call) -> None:
        asked, span_ns = _asked(request, call), self._span_ns(request)
        steps = _limit(request.steps, 500, MOST_STEPS)
        await self._answer(call, lambda store: packing.ranges(store, asked, span_ns, steps))

    async def _live(self, request: pb.LiveRequest, call: Call) -> None:
        behind = {_stream(place.stream): _position(place.position) for place in request.behind}
        tail = Tail(Asked(request.gateway, _pattern(request.tag)), behind)
        told = await self._offer.lives.open(tail, packing.look, call.may)
        await call.begin()
        async with aclosing(told):
            async for message in told:
                await call.write(message)
        raise StoreError("the server stops", hint="come back with the last `at`")

    async def _export(self, request: pb.ExportRequest, call: Call) -> None:
        form = _FORMS.get(request.form)
        if form is None:
            raise UsageError(f"form: there is no {request.form}", hint="see values.proto")
        export = Export(_asked(request, call), self._span_ns(request))
        parts = await self._offer.exports.open(export, form, call.may)
        async with aclosing(parts):
            async for part in parts:
                for message in _cut(part):
                    await call.write(message)

    async def _answer(self, call: Call, work: Callable[[StoreReader], bytes]) -> None:
        await call.write(await self._offer.readers(work))

    def _span_ns(
        self, request: pb.NewestRequest | pb.RangesRequest | pb.ExportRequest
    ) -> tuple[int, int]:
        since = request.from_ns if request.HasField("from_ns") else None
        until = request.to_ns if request.HasField("to_ns") else None
        return between(since, until, self._now_ns())


def _asked(
    request: pb.NewestRequest | pb.OrderedRequest | pb.RangesRequest | pb.ExportRequest, call: Call
) -> Asked:
    return Asked(request.gateway, _pattern(request.tag), request.raw_times, call.until_s)


def _pattern(text: str) -> str:
    if len(text) > MOST_PATTERN:
        raise UsageError(
            f"tag: more than {MOST_PATTERN} characters", hint="write a shorter pattern"
        )
    return text


def _limit(asked: int, usual: int, most: int) -> int:
    if asked > most:
        raise UsageError(f"limit: {asked} is more than {most}", hint="ask several times")
    return asked or usual


def _position(position: pb.Position) -> tuple[int, int]:
    return sound((position.epoch, position.seq), f"{position.epoch:x}/{position.seq}")


def _stream(name: str) -> int:
    try:
        return uplink_pb2.Stream.Value(name.upper())
    except ValueError:
        raise UsageError(f"no stream {name[:40]!r}", hint="send what `at` said") from None


def _cut(part: bytes) -> Iterator[bytes]:
    """Cut a part of a file into messages."""
    for first in range(0, len(part), PART_BYTES):
        yield pb.ExportPart(data=part[first : first + PART_BYTES]).SerializeToString()
