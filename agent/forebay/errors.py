"""Every error that Forebay raises on purpose, as one tree whose branches are the actions.

    ForebayError
    ├── ConfigError            refuse the configuration; what runs goes on
    ├── GenerationDamaged      run the generation before, or the file that a person wrote
    ├── DeviceError
    │   ├── DeviceUnreachable  mark bad, reconnect with back-off
    │   ├── DeviceRefused      mark these tags bad, go on
    │   ├── WriteInDoubt       nobody knows whether the device took it: never sent again
    │   └── ProtocolViolation  mark bad, count, reconnect
    ├── JournalError
    │   ├── JournalFull        retention decides; the caller accounts for what was not taken
    │   │   └── StreamFull     the same, of one stream that drops its newest
    │   ├── JournalCorrupt     quarantine what is damaged, report the loss
    │   ├── JournalFailed      the disk refused a write or a flush: stop, exit 74, recover from disk
    │   ├── JournalLocked      another process owns the directory
    │   ├── JournalForeign     the directory is of another gateway: refuse to start, status 2
    │   └── JournalMissing     a command was pointed at what is no journal: it ends with status 2
    ├── QuarantineError        the record stays where it is; the session ends and is tried again
    ├── UplinkError
    │   ├── UplinkUnavailable  retry after `wait_s`
    │   └── UplinkMisbehaved   the peer broke the ack protocol: drop the session, say Hello again
    ├── FleetError
    │   ├── IdentityUnusable   what makes this box itself is damaged, or not ours to read
    │   ├── FleetUnavailable   the fleet server cannot be reached now: retry after `wait_s`
    │   └── FleetRefused       it said no, and why in `code`: a person must look
    ├── PluginError
    │   ├── PluginUnavailable  it did not start, died or was too slow: end it, start it anew
    │   └── PluginMisbehaved   it broke its protocol: the same
    └── ControlError
        ├── ControlSocketUnusable  the control socket cannot be made: refuse to start
        │   └── ControlSocketBusy  another process answers on it: refuse to start
        ├── AgentUnreachable       no agent answers: the command ends with status 3
        ├── RequestInvalid         the agent was asked for what cannot be: status 2
        └── RequestFailed          the agent could not answer: status 1

The type decides what the program does; `hint` tells a person the next step. This module knows no
other part of Forebay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ForebayError(Exception):
    """The root. `str(error)` states what is wrong; `hint` states what a person does next."""

    def __init__(self, message: str, *, hint: str) -> None:
        """Keep `message` (what is wrong, one line) and `hint` (the next step, one line)."""
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a configuration.

    `path` is dotted from the root of the file (`devices.press.port`), or `FILE:LINE` for a row of a
    tag list. Without `stops`, time alone brought it about (an expired certificate): `forebay check`
    refuses it, but a gateway that starts goes on reading its devices. What is `awaited` is no fault
    yet: only a running gateway finds what is missing (a server's certificate), and `forebay check`
    tells it beside its ok. `tag` names the one tag of a device that it is about: without that tag
    there is no such fault.
    """

    path: str
    message: str
    hint: str
    stops: bool = True
    awaited: bool = False
    tag: str = ""

    def __str__(self) -> str:
        """Give the one line that `forebay check` prints."""
        return f"{self.path}: {self.message} ({self.hint})"


class ConfigError(ForebayError):
    """A configuration that must not run. Carries every fault that was found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Keep `faults`, at least one, in the order of the file."""
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{first.path}: {first.message}{more}", hint=first.hint)
        self.faults = tuple(faults)


class GenerationDamaged(ForebayError):
    """A configuration in the state directory is not what it was, or was never whole."""


class DeviceError(ForebayError):
    """Something between a driver and its device.

    `status` is the OPC UA StatusCode that the values get.
    """

    def __init__(self, message: str, *, hint: str, status: int) -> None:
        """Keep `status` (a 32-bit StatusCode with severity Bad)."""
        super().__init__(message, hint=hint)
        self.status = status


class DeviceUnreachable(DeviceError):
    """No connection, or one that ended or fell silent: the session reconnects."""


class DeviceRefused(DeviceError):
    """The device answered, and the answer is no.

    The connection stays, the tags asked for go bad.
    """


class WriteInDoubt(DeviceError):
    """A write went out and no good answer came.

    The outcome is UNKNOWN: it is told so, and never sent again.
    """


class ProtocolViolation(DeviceError):
    """The device sent what its protocol forbids.

    Nothing of it becomes a value; the session reconnects.
    """


class JournalError(ForebayError):
    """Something between the journal and its disk."""


class JournalFull(JournalError):
    """The memory in front of the journal's writer is full; the entry was not taken."""


class StreamFull(JournalFull):
    """A stream that drops its newest is full of undelivered data; the entry was not taken."""


class JournalCorrupt(JournalError):
    """Bytes on disk that do not match their checksum."""


class JournalFailed(JournalError):
    """A write or flush failed.

    Nothing is retried: the process ends with status 74 and recovers from disk.
    """


class JournalLocked(JournalError):
    """Another process holds the journal directory."""


class JournalForeign(JournalError):
    """The journal directory is of a gateway with another id."""


class JournalMissing(JournalError):
    """There is no journal where one was to be looked at, or this user may not look."""


class QuarantineError(ForebayError):
    """A record could not be set aside, or what was set aside cannot be had."""


class UplinkError(ForebayError):
    """Something between an uplink and its destination."""


class UplinkUnavailable(UplinkError):
    """The destination cannot be used now.

    `wait_s`, if the destination gave one, is the least time to wait.
    """

    def __init__(self, message: str, *, hint: str, wait_s: float | None = None) -> None:
        """Keep `wait_s` in seconds, or None if the destination asked for nothing."""
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


class UplinkMisbehaved(UplinkError):
    """The destination acknowledged what was never sent, went backwards, or broke the chain."""


class FleetError(ForebayError):
    """Something between this box and its fleet server, beside the data."""


class IdentityUnusable(FleetError):
    """The identity in the state directory is damaged, or this user may not read or change it."""


class FleetUnavailable(FleetError):
    """The fleet server cannot be reached, or cannot answer now.

    `wait_s`, if it gave one, is the least time to wait.
    """

    def __init__(self, message: str, *, hint: str, wait_s: float | None = None) -> None:
        """Keep `wait_s` in seconds, or None if the server asked for nothing."""
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


class FleetRefused(FleetError):
    """The fleet server said no. `code` says in a word why: see docs/reference/fleet-protocol.md."""

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        """Keep `code` (`token`, `locked`, `revoked`, `clone`, `replaced`, `budget` ...)."""
        super().__init__(message, hint=hint)
        self.code = code


class PluginError(ForebayError):
    """Something between the plugin host and a plugin's process, which is ended.

    `kind` says in a word what it was, for counting.
    """

    def __init__(self, message: str, *, hint: str, kind: str) -> None:
        """Keep `kind` (`exit`, `killed`, `deadline`, `start`, `memory`, `protocol` ...)."""
        super().__init__(message, hint=hint)
        self.kind = kind


class PluginUnavailable(PluginError):
    """The process could not be started, died, or gave no answer in time."""


class PluginMisbehaved(PluginError):
    """The process sent what `plugin.proto` forbids. Nothing of that message is used."""

    def __init__(self, message: str, *, hint: str, kind: str = "protocol") -> None:
        """Keep what was wrong in `message`."""
        super().__init__(message, hint=hint, kind=kind)


class ControlError(ForebayError):
    """Something between a command and the agent."""


class ControlSocketUnusable(ControlError):
    """The control socket cannot be made where it is wanted."""


class ControlSocketBusy(ControlSocketUnusable):
    """Another process answers on the control socket."""


class AgentUnreachable(ControlError):
    """No agent answers on the control socket, for now or at all."""


class AgentForbidden(AgentUnreachable):
    """An agent may run, and this user may not connect to its control socket."""


class RequestInvalid(ControlError):
    """The agent was asked for something that cannot be."""


class RequestFailed(ControlError):
    """The agent was asked for something that it could not do."""
