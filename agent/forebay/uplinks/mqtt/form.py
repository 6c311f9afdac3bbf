"""What the uplink asks of a form of messages, whichever it is.

Owns the words. Must not know a format, nor aiomqtt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from forebay.model import Record
    from forebay.readings import Readings


class Message(NamedTuple):
    """One PUBLISH."""

    topic: str
    payload: bytes


class Item(NamedTuple):
    """One record, read: its samples `found` and what else it says as `note`."""

    record: Record
    found: Readings | None
    note: Mapping[str, Any] | None
    historical: bool


class Form(Protocol):
    """Messages of one session. Calls come one at a time, though not from one thread."""

    @property
    def will(self) -> Message | None:
        """What the broker says if we are gone without a word."""
        ...

    @property
    def topics(self) -> Sequence[str]:
        """What to subscribe to."""
        ...

    @property
    def waits(self) -> bool:
        """Whether something must be heard before anything may be sent."""
        ...

    def hear(self, topic: str, payload: bytes) -> None:
        """Take what came by one of `topics`; UplinkUnavailable if nothing may be sent any more."""
        ...

    def due(self) -> list[Message]:
        """Give what must be sent before the next record: at the session's begin, or when asked."""
        ...

    def messages(self, item: Item) -> Iterator[Message]:
        """Give a record's messages, in order, each made when it is asked for."""
        ...

    def end(self) -> list[Message]:
        """Give what to send before a leave that is meant."""
        ...
