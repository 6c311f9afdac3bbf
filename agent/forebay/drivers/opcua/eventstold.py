"""Which events and conditions of a device were told of late, over all its connections.

Owns the memory of them, which is bounded in number and in size. Must not know OPC UA.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REMEMBERED = 10_000
"""Events told of late: the server tells those of its conditions again at each refresh."""
_LONGEST_KEY = 64
_DIGEST_BYTES = 16


def short(key: bytes) -> bytes:
    """Give a key of any size as one of 64 bytes at most: a longer one as its digest."""
    if len(key) <= _LONGEST_KEY:
        return key
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()


class ToldEvents:
    """The ids of events told of late, and the conditions that were told and are not over.

    Conditions are keys that `short` gave.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self._conditions: OrderedDict[bytes, Sequence[Any]] = OrderedDict()

    @property
    def conditions(self) -> Mapping[bytes, Sequence[Any]]:
        """The conditions told that are not over, each with the cells given at its begin."""
        return self._conditions

    def follows(self, condition: bytes, *, retained: bool) -> bool:
        """Whether an event of this condition was told, and it was not over then; note if it is."""
        told = condition in self._conditions
        if told and not retained:
            del self._conditions[condition]
        return told

    def begin(self, condition: bytes, cells: Sequence[Any]) -> None:
        """Note that a condition is told which is not over, and the cells that name it."""
        self._conditions[condition] = cells
        if len(self._conditions) > _REMEMBERED:
            self._conditions.popitem(last=False)

    def over(self, condition: bytes) -> None:
        """Note that the end of a condition is told."""
        self._conditions.pop(condition, None)

    def __contains__(self, event: bytes) -> bool:
        """Whether this event was told."""
        return short(event) in self._ids

    def add(self, event: bytes) -> None:
        """Note that this event is told."""
        self._ids[short(event)] = None
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
