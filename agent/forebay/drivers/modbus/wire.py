"""What a driver and the wire below it agree on: a job, how long it may take, how it can end.

Owns these words. Must not know framings, sockets or tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.errors import DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import Quality

if TYPE_CHECKING:
    from asyncio import Timeout
    from collections.abc import Sequence

    from forebay.drivers.modbus.codec import Request

UNREACHABLE_HINT = "check that the device is powered and that nothing else uses up its connections"
PIPELINE_HINT = "try pipeline = 1: many devices answer only one request at a time"
IDLE_HINT = (
    "if the device ends connections that are idle, set close_after_read = true or a shorter period"
)

GATEWAY_SILENCE = frozenset({10, 11})
"""The exceptions by which a gateway says that it does not hear a unit (MB-APP 7)."""


class Terms(NamedTuple):
    """How a device is to be asked.

    `depth` is how many requests may be open at once, 1 to 16; `timeout_s` the longest wait for the
    next answer; `pause_s` how long to rest between an answer and the next request. With a
    `patience_s`, an answer is waited for no longer than that once somebody else wants the line, and
    where no transaction id tells answers apart, no longer than that at all.
    """

    depth: int
    timeout_s: float
    pause_s: float = 0.0
    patience_s: float | None = None


class Job:
    """Requests to one unit, and what became of them.

    The data of each answer belongs into `image` at its request's `offset`. `sent` requests are on
    the wire; every one before index `low` is answered, and those beyond for which `answered` is 1.
    `count`, `depth` and `pause_s` repeat what `requests` and `terms` say, for the hot path.
    `refused` has (index, exception code) for each that the device refused; its place in `image` is
    zeroed. `slowest_s` is the longest wait for an answer so far.

    What changes a device is `steady`: it gives way to nobody. Its `limit` ends at the moment until
    which it may be sent, and is lifted as it is. Its `check` is a read by which a line without
    transaction ids shows whether it repeats what is sent.
    """

    __slots__ = (
        "answered", "check", "count", "depth", "first_id", "image", "limit", "low", "pause_s",
        "refused", "requests", "sent", "slowest_s", "steady", "terms", "unit",
    )  # fmt: skip

    def __init__(
        self, unit: int, requests: Sequence[Request], image: bytearray, terms: Terms
    ) -> None:
        """Begin with nothing sent."""
        self.unit, self.requests, self.image, self.terms = unit, requests, image, terms
        self.count, self.depth, self.pause_s = len(requests), terms.depth, terms.pause_s
        self.answered = bytearray(self.count)
        self.low = self.sent = self.first_id = 0
        self.refused: list[tuple[int, int]] = []
        self.slowest_s = 0.0
        self.steady = False
        self.limit: Timeout | None = None
        self.check: Request | None = None

    def go(self, now_s: float) -> None:
        """Lift the limit, for it is sent now. Raises DeviceRefused if it is too late for that."""
        if self.limit is None:
            return
        end_s = self.limit.when()
        if end_s is not None and end_s <= now_s:
            raise too_late()
        self.limit.reschedule(None)

    @property
    def done(self) -> bool:
        """Whether every request is answered."""
        return self.low == self.count


class Wire(Protocol):
    """One open connection or port, on which one job is under way at a time."""

    @property
    def alive(self) -> bool:
        """Whether a job can be run on it."""
        ...

    @property
    def numbered(self) -> bool:
        """Whether answers carry transaction ids, so that a late one shows whose it is."""
        ...

    @property
    def repeats(self) -> bool | None:
        """Whether what we send may come back as if it were an answer; None if nobody knows yet."""
        ...

    def distinct(self, unit: int, probes: Sequence[Request]) -> Request:
        """Give the first of `probes` whose answer no late one of `unit` can be taken for.

        Raises DeviceUnreachable if there is none: then the unit has to rest.
        """
        ...

    async def run(self, job: Job) -> None:
        """Do the job; on return every request is answered, or refused.

        The line's turn is held; between requests with nothing in flight it is given away to who
        goes before. Raises DeviceUnreachable if an answer does not come, or a gateway says that the
        unit is silent, and ProtocolViolation for an answer that fits nothing. Either may leave the
        wire alive for others. After a raise or a cancellation the image means nothing, and no
        answer that is still to come becomes part of another job.
        """
        ...

    async def close(self) -> None:
        """Drop it and wait until it is gone; never raises."""
        ...


def silence(waited_s: float, depth: int) -> DeviceUnreachable:
    """Give the error of an answer that did not come."""
    return DeviceUnreachable(
        f"no answer within {waited_s:.3g} s",
        hint=UNREACHABLE_HINT if depth == 1 else PIPELINE_HINT,
        status=Quality.BAD_TIMEOUT,
    )


def too_late() -> DeviceRefused:
    """Give the error of a write that would go out after its time."""
    return DeviceRefused(
        "it was too late before it could be sent, and nothing was written",
        hint="allow a longer deadline, at least as long as the pauses that the device wants",
        status=Quality.BAD_TIMEOUT,
    )


def given_up() -> DeviceUnreachable:
    """Give the error of those who find a connection that was given up."""
    return DeviceUnreachable(
        "the connection was given up, because no answers came",
        hint=UNREACHABLE_HINT,
        status=Quality.BAD_NO_COMMUNICATION,
    )


def gateway_silence(code: int, text: str) -> DeviceUnreachable:
    """Give the error of a gateway that does not hear the unit."""
    return DeviceUnreachable(
        f"the gateway answers for the unit: exception {code}, {text}",
        hint="check that the unit is powered, its number, and the serial line behind the gateway",
        status=Quality.BAD_NO_COMMUNICATION,
    )


def violation(reason: str, frame: bytes, hint: str) -> ProtocolViolation:
    """Give the error of bytes that fit nothing; `frame` is where they begin."""
    return ProtocolViolation(
        f"the device broke the Modbus protocol: {reason} (frame begins {frame[:9].hex(' ')})",
        hint=hint,
        status=Quality.BAD_COMMUNICATION_ERROR,
    )
