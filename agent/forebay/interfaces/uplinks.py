"""Right of the journal: destinations, what is agreed with them, what they have.

Owns those contracts. Must not know any destination.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from forebay.errors import Fault
    from forebay.interfaces.intake import Seams
    from forebay.model import Position, Record, Schema, Stream
    from forebay.settings import UplinkSettings


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
    with their contents and touches no network. `reaches` as in `DriverSpec`. `secured` gets the
    settings and the state directory, and gives what TLS to all that it reaches is to prove: the
    server's name (empty: that of the address) and who may sign it, PEM (empty: whom the machine
    trusts); None for plain text. Raises a ForebayError if that cannot be read. `writes` gives the
    directory of this machine that it writes into, of a kind that does.
    """

    kind: str
    settings: type[UplinkSettings]
    build: Callable[[str, Any, Seams], Uplink]
    requires: Mapping[str, str]
    check: Callable[[str, str, Any], Iterable[Fault]] = no_uplink_faults
    reaches: Callable[[Any], Sequence[str]] | None = None
    secured: Callable[[Any, Path], tuple[str, str] | None] | None = None
    writes: Callable[[Any], Path] | None = None
