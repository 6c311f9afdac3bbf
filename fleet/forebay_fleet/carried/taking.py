"""Takes in what a box collected on a stick, as a session of its own would have sent it.

Owns the order: proved first, then stored by the same ingest as everything else, then acknowledged
by a signed file. Must not know how a file comes here (`spool`), nor how records are stored.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError

from forebay_fleet._proto import carried_pb2, uplink_pb2
from forebay_fleet.carried import sealing
from forebay_fleet.carried.sealing import Damaged
from forebay_fleet.errors import UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.ingest import SessionEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

    from forebay_fleet._proto import fleet_pb2
    from forebay_fleet.committer import Committer
    from forebay_fleet.desired.signing import Signer
    from forebay_fleet.ingest import Ingest
    from forebay_fleet.registry import Registry, RegistryThread

T = TypeVar("T")

KIND = "usb-ack"
MAX_REFUSED = 4096
"""Refusals that one acknowledgement tells; what lies behind them is collected again."""


@dataclass(slots=True)
class Taken:
    """What became of one file. `signed` is the acknowledgement that goes back."""

    gateway: str
    uplink: str
    collection: bytes
    records: int = 0
    payload_bytes: int = 0
    refused: int = 0
    signed: fleet_pb2.Signed | None = None


@dataclass(slots=True)
class _Course:
    """One file under way: what is committed of each line, and what was refused."""

    committed: dict[tuple[int, int], uplink_pb2.Committed] = field(default_factory=dict)
    refused: list[carried_pb2.Refusal] = field(default_factory=list)
    records: int = 0
    payload_bytes: int = 0
    full: bool = False


class Taking:
    """Of one server, or of a command that has the store for itself."""

    def __init__(
        self,
        ingest: Ingest,
        committer: Committer,
        registry: RegistryThread,
        keys: tuple[Signer, sealing.Unsealer],
        now_ns: Callable[[], int],
    ) -> None:
        """Open with the second of `keys`, and sign with the first."""
        self._ingest, self._committer, self._registry = ingest, committer, registry
        self._signer, self._unsealer = keys
        self._now_ns = now_ns

    async def take(self, path: Path) -> Taken:
        """Store what is in a file; the same file again changes nothing, and is answered again.

        Raises:
            UsageError: it was not made by a box of this fleet, is not for this server, or is not
                whole; of a file that is not as its box signed it nothing is stored.
            StoreFailed: the disk refused it.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}", hint="name a file that is there"
            ) from None
        with file:
            sealed = await asyncio.to_thread(sealing.opened, file)
            header = sealed.header
            key = await self._registry(partial(_bound_key, gateway=header.gateway))
            await asyncio.to_thread(sealing.check, file, sealed, key)
            frames = self._unsealer.frames(file, sealed)
            course = _Course()
            try:
                welcome = await self._all(header, frames, course)
            except SessionEnded as ended:
                text = f"{header.gateway} says what cannot be: {ended}"
                raise UsageError(text, hint="compare the versions of gateway and server") from None
        ack = carried_pb2.DataAck(
            gateway=header.gateway,
            uplink=header.uplink,
            collection=header.collection,
            issued_ns=self._now_ns(),
            incarnation=welcome.incarnation,
            newest_epoch=welcome.newest_epoch,
            committed=course.committed.values(),
            refused=course.refused,
        )
        return Taken(
            header.gateway,
            header.uplink,
            header.collection,
            course.records,
            course.payload_bytes,
            len(course.refused),
            self._signer.sign(KIND, ack.SerializeToString(deterministic=True)),
        )

    async def _all(
        self, header: carried_pb2.DataHeader, frames: Iterable[tuple[bytes, bool]], course: _Course
    ) -> uplink_pb2.Welcome:
        """Go through the frames. Raises SessionEnded and as `take`."""
        walk = iter(frames)
        first = await asyncio.to_thread(next, walk, None)
        message = _message(first)
        if message.WhichOneof("message") != "hello" or message.hello.gateway != header.gateway:
            raise Damaged("it does not begin as its box would")
        gateway, welcome = await self._greeted(message.hello)
        for one in welcome.committed:
            course.committed[one.stream, one.epoch] = one
        while True:
            found = await asyncio.to_thread(next, walk, None)
            if found is not None and found[1]:
                _end(found[0], course)
                return welcome
            records = _message(found).records.records
            course.records += len(records)
            course.payload_bytes += sum(len(one.payload) for one in records)
            if not course.full:
                await self._stored(gateway, records, course)

    async def _greeted(self, hello: uplink_pb2.Hello) -> tuple[int, uplink_pb2.Welcome]:
        def apply() -> Callable[[], tuple[int, uplink_pb2.Welcome]]:
            greeting = self._ingest.greet(hello)
            return lambda: greeting

        return await (await self._committer.submit(apply, hello.ByteSize()))

    async def _stored(
        self,
        gateway: int,
        records: RepeatedCompositeFieldContainer[uplink_pb2.Record],
        course: _Course,
    ) -> None:
        """Have one group committed, and keep what is said of it while there is room."""
        apply = partial(self._ingest.take, gateway, records)
        size = sum(one.ByteSize() for one in records)
        acks = await (await self._committer.submit(apply, size))
        new = [
            carried_pb2.Refusal(
                stream=ack.committed.stream, epoch=ack.committed.epoch, seq=one.seq, code=one.code
            )
            for ack in acks
            for one in ack.rejected
            if one.permanent
        ]
        course.full = len(course.refused) + len(new) > MAX_REFUSED
        if course.full:
            return
        course.refused += new
        for ack in acks:
            key = ack.committed.stream, ack.committed.epoch
            if key in course.committed:
                ack.committed.gapped.extend(course.committed[key].gapped)
            course.committed[key] = ack.committed


def _message(found: tuple[bytes, bool] | None) -> uplink_pb2.FromGateway:
    """Read a frame that is not the last. Raises Damaged."""
    if found is None or found[1]:
        raise Damaged("it ends too soon")
    try:
        return uplink_pb2.FromGateway.FromString(found[0])
    except DecodeError:
        raise Damaged("a frame cannot be read") from None


def _end(data: bytes, course: _Course) -> None:
    """Compare what came with what the box says it put in. Raises Damaged."""
    try:
        end = carried_pb2.DataEnd.FromString(data)
    except DecodeError:
        raise Damaged("its end cannot be read") from None
    if (end.records, end.payload_bytes) != (course.records, course.payload_bytes):
        raise Damaged("it does not hold what its box says it put in")


def _bound_key(registry: Registry, gateway: str) -> bytes:
    """Give the key that a gateway signs with. UsageError if it may not come."""
    with registry.reading() as db:
        shut, known = gateways.denied(db, gateway), gateways.get(db, gateway)
    if shut is not None:
        raise UsageError(f"{gateway} is {shut.state}: {shut.reason}", hint="forebay-fleet gateways")
    if known is None:
        raise UsageError(
            f"no gateway {gateway!r} is enrolled here",
            hint="carry it to the server that its box is enrolled at",
        )
    return known.bound_key
