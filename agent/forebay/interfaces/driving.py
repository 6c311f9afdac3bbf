"""How a device is read: plans of spans and blocks, the line, drivers that are asked or listen.

Owns those contracts. Must not know what is done with a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from forebay.model import Batch, Schema


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """Where one tag lies in its device's memory.

    `count` units from `start` in `area`; the driver defines unit and area.
    """

    area: str
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Block:
    """One request.

    `count` units from `start` in `area`, which feeds the schema columns `columns`.
    """

    area: str
    start: int
    count: int
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SpanLimits:
    """What one request may ask in one area.

    At most `max_count` units, bridging holes of at most `max_hole` units.
    """

    max_count: int
    max_hole: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the device answered with no.

    `block` is the index in the reader's blocks; `status` is a bad StatusCode. `permanent` says that
    the request itself is at fault (an address, a length), so that asking differently may help;
    otherwise the device cannot answer just now, and the plan stays as it is.
    """

    block: int
    status: int
    message: str
    permanent: bool = True


@dataclass(frozen=True, slots=True)
class Scan:
    """What one poll brought.

    A dense batch of one row, its refused blocks marked bad, and those refusals. Where the device
    dates each value itself: a sparse batch of one sample a column instead.
    """

    batch: Batch
    refusals: tuple[Refusal, ...] = ()


class Reader(Protocol):
    """One group's reads, compiled: prebuilt requests and one decoding plan.

    Belongs to the connection it was made on.
    """

    async def read(self) -> Scan:
        """Read every block once and give the row.

        Called by the session at each period, in a turn of the line, under a deadline that cancels
        it. While it gives way (`Line.give_way`), the reader of another group of the same driver may
        read; one reader is never called twice at once. Raises DeviceUnreachable or
        ProtocolViolation when the connection cannot be trusted any more (after cancellation too:
        the session then closes the driver). A refusal of the device is no exception but a
        `Refusal`.
        """
        ...


class Urgency(IntEnum):
    """Who goes first where several want a line: the lower, and among alike the earlier due."""

    WRITE = 0
    POLL = 1
    PROBE = 2
    """To see whether a silent unit is back, or what a device has: it may always wait."""


class Line(Protocol):
    """The wire that the requests of one or several devices share: one TCP connection, one bus.

    Made by the acquisition engine, one for each key of `DriverSpec.line`; lives as long as the
    agent. Whoever talks over it holds the turn: one at a time.
    """

    @property
    def name(self) -> str:
        """Its key, as people read it: `/dev/ttyS0`, `192.0.2.10:502`."""
        ...

    def shared(self, make: Callable[[], T]) -> T:
        """Give what the drivers of this line share, made by the first that asks."""
        ...

    def turn(self, urgency: Urgency, due_s: float = 0.0) -> AbstractAsyncContextManager[None]:
        """Hold the line while entered; waits for it.

        `due_s` is when it should be over, on the monotonic clock: of polls the end of their period.

        The session takes it around each `Reader.read`, `WritableDriver.write` and `read_back`; a
        driver takes it for what it sends of itself (a probe in `connect`, a scan).
        """
        ...

    @property
    def wanted(self) -> bool:
        """Whether somebody waits who goes before the present holder. Cheap: see `give_way`."""
        ...

    def waiting(self) -> int:
        """Count those who wait for a turn, whoever goes first."""
        ...

    async def give_way(self) -> None:
        """Let those who go before have their turns; returns holding the line again.

        A driver that sends more than one request in a turn calls it between two of them, with
        nothing in flight, when `wanted`.
        """
        ...


class Driver(Protocol):
    """Speaks one protocol to one device.

    Never retries, never sleeps to retry, never hides a fault: the session does that.

    The session calls `connect` once on each instance's turn; if that returns, `reader` and `stream`
    may be used until one of them raises a DeviceError; then `close`; then, after a back-off,
    `connect` again, for as long as the agent runs. Making a driver touches no network. Every
    exception of the protocol library is turned into a DeviceError here.
    """

    async def connect(self) -> None:
        """Reach the device, within a deadline of the caller.

        Raises DeviceUnreachable, DeviceRefused or ProtocolViolation.
        """
        ...

    async def close(self) -> None:
        """Give up the connection and all that belongs to it.

        Called after every `connect`, failed or not; never raises.
        """
        ...


class PolledDriver(Driver, Protocol):
    """A driver whose groups may be polled."""

    def spans(self, schema: Schema) -> Sequence[Span] | None:
        """Give each column's place, in schema order, for the planner; None to skip planning.

        Called once per group, before any connection. After None, `reader` gets no blocks, the
        driver cuts its requests itself, and its refusals are told by quality alone.
        """
        ...

    def limits(self, area: str) -> SpanLimits:
        """Give what one request may ask of `area`. Called by the planner."""
        ...

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> Reader:
        """Compile the plan.

        Called after each `connect` and whenever the session has learned to cut the blocks
        differently.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading takes of the line's time: each request, and each unit that it asks for."""

    per_request_s: float
    per_unit_s: float

    def of(self, count: int) -> float:
        """Give the seconds that a request for `count` units takes."""
        return self.per_request_s + count * self.per_unit_s


@runtime_checkable
class MeasuredDriver(Driver, Protocol):
    """A driver that measures what its requests take."""

    def cost(self, area: str) -> Cost | None:
        """Give what a read of `area` takes, as it was lately; None before enough were measured.

        Cheap: it may be asked at any time.
        """
        ...


@runtime_checkable
class IdentifyingDriver(Driver, Protocol):
    """A driver whose device can say what it is."""

    async def identify(self) -> dict[str, str]:
        """Give what it says by its protocol's names: maker, product, version. Empty: nothing.

        Called by `forebay doctor`, once, after `connect`. Raises DeviceUnreachable.
        """
        ...


class StreamedDriver(Driver, Protocol):
    """A driver whose device sends by itself."""

    def stream(self, schemas: Mapping[Schema, float]) -> AsyncIterator[Batch]:
        """Give batches, sparse as a rule, of any of `schemas` as they come.

        The values are the asked-for periods in seconds.

        Called once after each `connect`. The session asks for the next batch only after the
        journal's intake took the last one, so acknowledging the device when asked again is safe.
        Ends only by raising a DeviceError or by being closed.
        """
        ...


@runtime_checkable
class DurableDriver(StreamedDriver, Protocol):
    """A streamed driver whose source is gone, or forgotten, behind what was taken.

    Where `durable` is true the session asks for the next batch only when the last one is on disk,
    and waits as long as the journal has no room for it. No stage sees its batches.
    """

    @property
    def durable(self) -> bool:
        """Whether that holds."""
        ...


class ListeningDriver(StreamedDriver, Protocol):
    """A streamed driver that may have something to say without a group to stream."""

    @property
    def listens(self) -> bool:
        """Whether `stream` is to be called even with no schemas.

        For events, or to tell of a lost connection on which nothing is polled.
        """
        ...
