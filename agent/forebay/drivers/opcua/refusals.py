"""Tells once, and not at every poll, which tags a server will not give.

Owns which qualities are a matter of the tag list rather than of the moment. Must not know how
values came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.drivers.opcua.faults import status_name
from forebay.events import TAGS_REFUSED
from forebay.model import Quality

if TYPE_CHECKING:
    from forebay.events import Events
    from forebay.model import Batch

_SHOWN = 5
_LASTING = np.array(
    [
        Quality.BAD_NODE_ID_UNKNOWN,
        Quality.BAD_NOT_READABLE,
        Quality.BAD_NOT_SUPPORTED,
        Quality.BAD_TYPE_MISMATCH,
        0x801F_0000,  # BadUserAccessDenied
        0x8033_0000,  # BadNodeIdInvalid
        0x8035_0000,  # BadAttributeIdInvalid
        0x8077_0000,  # BadTooManySubscriptions
        0x80DB_0000,  # BadTooManyMonitoredItems
    ],
    np.uint32,
)


class RefusedTags:
    """The columns of one schema that the server refuses now."""

    def __init__(self, device: str, events: Events) -> None:
        """Begin with none refused."""
        self._device, self._events = device, events
        self._known: set[int] = set()

    def note(self, batch: Batch) -> None:
        """Take in what `batch` says, and emit one event for all columns newly refused."""
        quality = batch.quality
        if quality is None and not self._known:
            return
        schema = batch.schema
        columns = np.arange(len(schema.tags)) if batch.index is None else batch.index
        flat = np.zeros(len(columns), np.uint32) if quality is None else quality.reshape(-1)
        bad = np.isin(flat, _LASTING)
        now = set(columns[bad].tolist())
        new = now - self._known
        self._known = (self._known - set(columns[~bad].tolist())) | now
        if not new:
            return
        first = min(new)
        status = int(flat[np.flatnonzero(columns == first)[-1]])
        self._events.emit(
            TAGS_REFUSED,
            device=self._device,
            group=schema.group,
            tags=len(new),
            first=[schema.tags[column].name for column in sorted(new)[:_SHOWN]],
            status=status_name(status),
            hint="check address and type in the tag list against the server",
        )
