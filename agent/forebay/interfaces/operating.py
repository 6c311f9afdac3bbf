"""What a person or a command may have a device do: write, call, browse, scan.

Owns those contracts. Must not know who may ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from forebay.interfaces.driving import Driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.interfaces.driving import Span
    from forebay.model import Outcome, ValueType


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


class PunctualDriver(WritableDriver, Protocol):
    """A driver that has to wait before it can send, and looks at the clock when it has waited."""

    async def write_by(self, tag: str, value: Value, due_s: float) -> None:
        """Write as `write`, but send nothing that changes the device after `due_s` (monotonic).

        Called in place of `write` where a driver has it. Raises as `write`: DeviceRefused at
        `due_s`, if nothing that changes the device was sent until then.
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


class PunctualCallableDriver(CallableDriver, Protocol):
    """A driver that may have to ask about a method before it can call it."""

    async def call_by(
        self, method: str, arguments: Sequence[Value], due_s: float
    ) -> Sequence[Value]:
        """Call as `call`, but send nothing that changes the device after `due_s` (monotonic).

        Called in place of `call` where a driver has it. Raises DeviceRefused if it is too late.
        """
        ...
