"""What is said of what is carried by hand: bundles that come in, data that go out.

Owns these shapes, which the control socket and the management share. Must not know either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


class Looked(NamedTuple):
    """What a bundle says, once it was found to be for this box and sound.

    `digest` (32 bytes) names the state; `config_hash` is hex, empty for none; times are ns since
    1970. `known` says that the box has seen this very state before. `attempt` is the id of the
    configuration's attempt, 0 if none was begun with.
    """

    digest: bytes
    gateway: str
    version: int
    issued_ns: int
    expires_ns: int
    issuer: str
    reason: str
    config_hash: str
    files: tuple[str, ...]
    packages: tuple[str, ...]
    known: bool
    attempt: int = 0


class Begun(NamedTuple):
    """A collection that begins: 16 random bytes that name it, and whose data it is."""

    collection: bytes
    gateway: str


class Collected(NamedTuple):
    """What was put into a collection; `more` was left out because it has got large enough.

    Times are those of the records, ns since 1970, 0 if none has any.
    """

    records: int
    payload_bytes: int
    more: bool
    time_min_ns: int
    time_max_ns: int


class Acknowledged(NamedTuple):
    """What an acknowledgement brought: by how many records the place moved, what was set aside."""

    uplink: str
    records: int
    refused: int
    remarks: tuple[str, ...]


class Carrying(Protocol):
    """The way for what is carried by hand. All raise RequestInvalid, RequestFailed, FleetError."""

    async def look(self, size_bytes: int, data: AsyncIterator[bytes]) -> Looked:
        """Take in a bundle of that size, and say what it is. Nothing of it runs."""
        ...

    async def take(self, digest: bytes, who: str) -> Looked:
        """Begin with the bundle that was looked at last, if it is the one with this digest."""
        ...

    def collect(
        self, uplink: str, max_bytes: int, after: bytes, who: str
    ) -> AsyncGenerator[Begun | bytes | Collected]:
        """Give a file of what `uplink` has not delivered: Begun, its bytes, then Collected.

        About `max_bytes` of payload at most, 0 for any; behind the end of the collection `after`.
        Nothing is given before the audit says that `who` asked.
        """
        ...

    async def acknowledge(self, data: bytes, who: str) -> Acknowledged:
        """Have the server's word for a collection count: its file as it came."""
        ...
