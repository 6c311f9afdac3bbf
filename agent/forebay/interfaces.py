"""The seams between engines and adapters: who calls what, when, how often, until what.

Owns the contracts. Must not know any implementation. Every adapter is checked against these words
by `tests/contracts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.errors import Fault
    from forebay.events import Events
    from forebay.files import Disk
    from forebay.model import (
        Batch,
        Gap,
        Outcome,
        Position,
        Record,
        Schema,
        Stream,
        ValueType,
    )
    from forebay.net import Network
    from forebay.settings import DeviceSettings, StageSettings, TagSettings, UplinkSettings


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seams:
    """All that ties the program to the world; a test puts its own in place.

    `events` is where what happens is told.
    """

    clock: Clock
    disk: Disk
    network: Network
    rng: random.Random
    events: Events


# --- left of the journal: pushed ------------------------------------------------------------------


class Intake(Protocol):
    """Whatever takes responsibility for a batch.

    Sessions, stages and plugins hand over here and nowhere else.
    """

    async def accept(self, batch: Batch) -> None:
        """Take responsibility for `batch`.

        Called by a session once per poll or per notification, never twice with the same batch. It
        goes into `batch.stream`, and passes stages and shadow if that is telemetry.
        Returns only when this part answers for it: it will be journaled, or a Gap will account for
        it. May wait a bounded moment for room; never raises for a full journal. The caller may
        forget the batch, and may acknowledge it to a device, only after the return.
        """
        ...

    async def commit(self, batch: Batch) -> None:
        """Take over `batch` and return when it is durable.

        For what must not happen before it is on record. Raises JournalFull if there is no room
        now, taking nothing; JournalFailed if the disk fails.
        """
        ...

    def account(self, gap: Gap) -> None:
        """Take over a gap for what `gap.source` was never asked for.

        It comes behind the batches accepted from that source before. Never waits.
        """
        ...


class Stage(Protocol):
    """Batch in, batch out; in-process, pure and fast."""

    def apply(self, batch: Batch) -> Batch | None:
        """Give what goes on, or None for nothing.

        Called for every batch of one device, in order; must not wait or raise.
        """
        ...


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

        Called by the session at each period, never twice at once on one driver, under a deadline
        that cancels it. Raises DeviceUnreachable or ProtocolViolation when the connection cannot be
        trusted any more (after cancellation too: the session then closes the driver). A refusal of
        the device is no exception but a `Refusal`.
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


class ListeningDriver(StreamedDriver, Protocol):
    """A streamed driver that may have something to say without a group to stream."""

    @property
    def listens(self) -> bool:
        """Whether `stream` is to be called even with no schemas.

        For events, or to tell of a lost connection on which nothing is polled.
        """
        ...


class WritableDriver(Driver, Protocol):
    """A driver that can change its device."""

    async def write(self, tag: str, value: Value) -> None:
        """Write `value`, raw as the device has it, into the tag, once, and wait for the answer.

        Called by the session for the write gate alone, which has checked type and range, with the
        line's turn held, while connected. Sends at most one request that changes the device.
        Raises DeviceRefused if the device said no, or if nothing was sent; WriteInDoubt if it was
        sent and no good answer came: then nobody knows.
        """
        ...

    async def read_back(self, tag: str) -> Value | None:
        """Read the tag's raw value from the device, now; None if it gives none.

        Called after a `write`, with the turn held. Raises as `Reader.read`.
        """
        ...


Value = bool | int | float | str
"""One value outside of the columns: of an operator, a plugin or a command."""


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """What became of a write or a call that was meant for a device.

    `detail` and `hint` are for a person. `read_back` is the raw value that was read after a write,
    None if none was; `outputs` are those of a method. `answered_s` is when the device's answer was
    held (monotonic), 0 if none came.
    """

    outcome: Outcome
    detail: str = ""
    hint: str = ""
    read_back: Value | None = None
    outputs: tuple[Value, ...] = ()
    answered_s: float = 0.0


class Operated(Protocol):
    """A device as the write gate sees it; the acquisition engine implements it."""

    async def write(
        self, tag: str, value: Value, due_s: float, *, read_back: bool = True
    ) -> DeviceAnswer:
        """Have the raw `value` written once, and read back.

        It takes the line's next turn; if that comes after `due_s` (monotonic), or the device is not
        connected, nothing is sent. Never raises; a cancellation leaves it open what happened.
        """
        ...

    async def call(self, method: str, arguments: Sequence[Value], due_s: float) -> DeviceAnswer:
        """Have a method called once; as `write`."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a device has.

    `path` is how people reach it from the top, parts joined by `/`; `address`, `type` and `unit`
    are what a tag list says of it, `type` None for what cannot be a tag. `kind` is `folder`,
    `value`, `method` or what the protocol calls it. `writable` says that the device would take a
    write.
    """

    path: str
    address: str
    kind: str
    type: ValueType | None = None
    unit: str = ""
    writable: bool = False
    description: str = ""


class BrowsableDriver(Driver, Protocol):
    """A driver whose device can say what it has."""

    def browse(self, pattern: str) -> AsyncIterator[Found]:
        """Give what lies under paths that match `pattern`.

        A pattern has one shell pattern for each part of a path (`Press/*/Temp*`); `**` stands for
        any number of parts; empty for the top. Called on behalf of a person while connected; it may
        be abandoned at any point. Takes care of the device: bounded requests, one at a time, at
        `Urgency.PROBE`. Raises DeviceErrors.
        """
        ...


class ScannableDriver(Driver, Protocol):
    """A driver whose device must be tried to find out what it has."""

    def scan(self, areas: Sequence[str], first: int, last: int) -> AsyncIterator[Span]:
        """Give the runs that can be read in each of `areas`, between two addresses, inclusive.

        As `browse`, one request at a time at `Urgency.PROBE` with a pause after each. An empty
        `areas` stands for all that the protocol has. A span of no units is no run: it says how far
        the search is where there is nothing to tell for long. Raises DeviceErrors, and
        RequestInvalid for an area that the protocol does not have.
        """
        ...


class CallableDriver(Driver, Protocol):
    """A driver whose device has methods."""

    async def call(self, method: str, arguments: Sequence[Value]) -> Sequence[Value]:
        """Call a method once; give its outputs.

        Called by the write gate alone, as `WritableDriver.write`, and raises as that.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """What a session needs to make its driver.

    `tags[i]` is the validated row behind column i of the concatenated `schemas`. `state` is the
    directory in which the driver may keep files, which all devices of its protocol share; it makes
    it where it is missing. None if there is none.
    """

    name: str
    settings: DeviceSettings
    schemas: tuple[Schema, ...]
    tags: Mapping[str, TagSettings]
    state: Path | None = None


def no_line(settings: Any) -> str | None:  # noqa: ANN401 - the driver's own settings class
    """Give None: each device has a line of its own."""
    del settings
    return None


def no_difference(one: Any, other: Any) -> Sequence[str]:  # noqa: ANN401 - as `no_line`
    """Find nothing to agree about: lines of which the key says everything."""
    del one, other
    return ()


def no_faults(spec: DeviceSpec) -> Iterable[Fault]:
    """Find nothing wrong: the check of a driver whose settings say everything by themselves."""
    del spec
    return ()


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """The face of a driver package, found by its entry point in `forebay.drivers`.

    Loading it must not import the protocol library; `build` may. `modes` are those of `poll` and
    `subscribe` that it serves; `requires` maps an importable module to the extra that brings it.
    `check` finds what is wrong between settings and tags that are right one by one; it touches no
    network. Devices of one protocol for which `line` gives the same key share a `Line`; `differ`
    names the settings of it about which two of them do not agree. `writes` says that its driver is
    a `WritableDriver`.
    """

    protocol: str
    settings: type[DeviceSettings]
    tag: type[TagSettings]
    modes: frozenset[str]
    build: Callable[[DeviceSpec, Seams, Line], Driver]
    requires: Mapping[str, str]
    check: Callable[[DeviceSpec], Iterable[Fault]] = no_faults
    line: Callable[[Any], str | None] = no_line
    differ: Callable[[Any, Any], Sequence[str]] = no_difference
    writes: bool = False


@dataclass(frozen=True, slots=True)
class StageSpec:
    """The face of a stage, found by its entry point in `forebay.stages`.

    `build` is called once per device.
    """

    kind: str
    settings: type[StageSettings]
    build: Callable[[Any], Stage]


# --- right of the journal: pulled -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """What the journal holds of one stream.

    `epoch`, the first seq still there, and the next one to be durable.
    """

    stream: Stream
    epoch: int
    first_seq: int
    next_seq: int


def no_schema(schema_id: int) -> Schema:
    """Find no schema: that of a gateway whose journal is not at hand."""
    raise KeyError(schema_id)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the gateway says of itself when a session opens.

    `delivered` is how far its own cursor is, one entry a stream that has begun: a destination that
    keeps no account of its own gives it back as its `Terms.resume`. `epoch` is the one that the
    journal writes in from now on, 0 for none; `heads` have it once something stands in it, and tell
    the whole length of all older ones. `schema` gives a schema that a
    BATCH in the journal needs, by its id, and raises KeyError if there is none: an uplink that
    reads payloads may begin behind the record that brought it. It may be slow; any thread may ask.
    """

    gateway: str
    boot_id: str
    session: int
    heads: tuple[Head, ...]
    delivered: tuple[Resume, ...] = ()
    epoch: int = 0
    schema: Callable[[int], Schema] = field(default=no_schema, compare=False)


@dataclass(frozen=True, slots=True)
class Resume:
    """How far the destination has one stream's epoch.

    Everything up to `committed_seq`, which is 0 for nothing, and beyond it the `islands`: runs of
    seqs, both ends inclusive, ascending. `chain` is its hash chain at `committed_seq` (32 bytes, as
    `Journal.chain`), empty if it keeps none. `gapped` are runs of what this covers of which it has
    nothing but the word that they are gone, ascending; said when a session opens.
    """

    stream: Stream
    epoch: int
    committed_seq: int
    chain: bytes = b""
    islands: tuple[tuple[int, int], ...] = ()
    gapped: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What the destination answers: it is the authority on resume.

    `credit_bytes` bounds payload bytes sent and not acknowledged. `newest_epoch` is the youngest
    epoch of this gateway that it knows, 0 for none: then a session goes with an epoch of the
    journal, and a new one is opened for the next. None if it does not care how epochs end.
    """

    incarnation: str
    resume: tuple[Resume, ...]
    credit_bytes: int
    max_record_bytes: int
    newest_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The destination durably has `resume`; refused for good are `rejected` (position, code).

    `credit_bytes` replaces the last one. `answered` counts the records of this session, in the
    order in which they were sent, that the destination has looked at: what it refuses of them it
    has said by now. None if it does not count them; then whatever `resume` covers was looked at.
    `unheard_messages` are how many, since the last Receipt, it took and said that nobody listens.
    """

    resume: Resume
    credit_bytes: int
    rejected: tuple[tuple[Position, str], ...] = ()
    answered: int | None = None
    unheard_messages: int = 0


class Uplink(Protocol):
    """Speaks to one destination.

    Never retries and keeps nothing: the forwarder owns cursor, credit, deadlines and back-off.

    The forwarder calls `connect`, then `send` and `receipts` at the same time from two tasks, until
    one of them raises an UplinkError; then `close`; then, after a back-off, `connect` again, for as
    long as the agent runs.
    """

    async def connect(self, offer: Offer) -> Terms:
        """Open a session and agree where to resume.

        Raises UplinkUnavailable or UplinkMisbehaved.
        """
        ...

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        """Send durable records of one stream, in order.

        `historical` says that they come from the backlog, behind newer ones that may be sent
        already. `absent_from` is empty, or has one number a record: above 0, the journal no longer
        holds the seqs from there up to the record's own, and they will not come. A destination may
        pass over it, and over a record that it has already: it may come again to tell of such a
        hole. Returns when the transport has taken them, which promises nothing. Raises as
        `connect`.
        """
        ...

    def receipts(self) -> AsyncIterator[Receipt]:
        """Give each receipt as it comes.

        Iterated once per session; ends only by raising an UplinkError or by being closed.
        """
        ...

    async def close(self) -> None:
        """End the session. Called after every `connect`, failed or not; never raises."""
        ...


def no_uplink_faults(gateway: str, name: str, settings: UplinkSettings) -> Iterable[Fault]:
    """Find nothing wrong: the check of an uplink whose settings say everything by themselves."""
    del gateway, name, settings
    return ()


@dataclass(frozen=True, slots=True)
class UplinkSpec:
    """The face of an uplink package, found by its entry point in `forebay.uplinks`.

    See `DriverSpec`.

    `build` gets the uplink's name and its validated settings. `check` gets the gateway's id, the
    uplink's name and its settings, whose files are there and can be read; it finds what is wrong
    with their contents and touches no network.
    """

    kind: str
    settings: type[UplinkSettings]
    build: Callable[[str, Any, Seams], Uplink]
    requires: Mapping[str, str]
    check: Callable[[str, str, Any], Iterable[Fault]] = no_uplink_faults
