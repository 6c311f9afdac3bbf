"""Tells of faults together: one line in the log for all that one cause has brought about.

Owns what was told of a device's tags and of the devices of a line, and when the next change is
told. Must not know how faults are found. Ten thousand tags that fail together are one event with a
count, the first names and the commonest cause; what flaps is told once in a while, and always how
it ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forebay.events import (
    DEVICE_CONNECTED,
    DEVICE_LOST,
    LINE_LOST,
    LINE_RESTORED,
    TAGS_BAD,
    TAGS_GOOD,
    TAGS_REFUSED,
)
from forebay.model import BAD_SEVERITY, Quality, quality_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from forebay.clock import Clock
    from forebay.errors import DeviceError
    from forebay.events import Event
    from forebay.interfaces import Refusal, Seams
    from forebay.model import Batch, Schema

SETTLE_S = 1.0
"""How long a change waits for others of the same cause before it is told."""
LINE_SETTLE_S = 2.0
"""The same for devices: each finds out at its own next poll that their line is dead."""
HOLD_S = 10.0
"""How long the tags of a device are not spoken of again."""
NAMES_TOLD = 20
"""How many names one log line holds."""
AT_ONCE = 4
"""How many changes of a device that has its line for itself are told before it is held to flap."""
_REASONS_KEPT = 100

_OF_THE_TAG_LIST = np.array(
    [
        Quality.BAD_NODE_ID_UNKNOWN,
        Quality.BAD_NOT_READABLE,
        Quality.BAD_NOT_SUPPORTED,
        Quality.BAD_TYPE_MISMATCH,
        0x801F_0000,  # BadUserAccessDenied
        0x8033_0000,  # BadNodeIdInvalid
    ],
    np.uint32,
)
"""What does not pass by itself: a driver that plans its own requests tells it itself."""


class Settling:
    """Calls `tell` some time after the first change. `run` in a task."""

    def __init__(
        self, tell: Callable[[], None], clock: Clock, settle_s: float, hold_s: float
    ) -> None:
        """Begin with nothing changed; after a call, `hold_s` pass without another."""
        self._tell, self._clock = tell, clock
        self._settle_s, self._hold_s = settle_s, hold_s
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Say that there is something to tell."""
        self._changed.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._changed.wait()
            await self._clock.sleep(self._settle_s)
            self._changed.clear()
            self._tell()
            await self._clock.sleep(self._hold_s)


# --- tags -----------------------------------------------------------------------------------------


class _State:
    """The tags of one schema: the newest StatusCode of each, and what was told. Shape (n,)."""

    def __init__(self, schema: Schema) -> None:
        count = len(schema.tags)
        self.schema = schema
        self.status = np.zeros(count, np.uint32)
        self.told = np.zeros(count, np.bool_)
        self.refused = np.zeros(count, np.bool_)
        self.new_refused = np.zeros(count, np.bool_)
        self.planned = False
        self.sound = True
        """Whether all of `status` is zero: then a batch without qualities is nothing new."""

    def bad(self) -> NDArray[np.bool_]:
        bad: NDArray[np.bool_] = self.status & np.uint32(BAD_SEVERITY) != 0
        return bad

    def failed(self) -> NDArray[np.bool_]:
        """Which are bad by a fault that may pass, and not merely without a first value."""
        waiting = self.status == np.uint32(Quality.BAD_WAITING_FOR_INITIAL_DATA)
        failed: NDArray[np.bool_] = self.bad() & ~waiting & ~self.refused
        return failed if self.planned else failed & ~np.isin(self.status, _OF_THE_TAG_LIST)

    def names(self, columns: NDArray[np.bool_], most: int) -> list[str]:
        """Name the first of `columns`."""
        return [self.schema.tags[column].name for column in np.flatnonzero(columns)[:most]]


class TagNews:
    """The tags of one device. `run` in a task."""

    def __init__(self, device: str, schemas: Sequence[Schema], seams: Seams) -> None:
        """Begin with every tag taken for good."""
        self._device, self._events = device, seams.events
        self._states = {schema.id: _State(schema) for schema in schemas}
        self._reasons: dict[int, str] = {}
        self._refused_why = ""
        self._settling = Settling(self._tell, seams.clock, SETTLE_S, HOLD_S)

    async def run(self) -> None:
        """Tell until cancelled."""
        await self._settling.run()

    def refused(self, schema: Schema, columns: Sequence[int], error: str) -> None:
        """Note columns that the device is now known to refuse for good."""
        state = self._states[schema.id]
        state.refused[list(columns)] = True
        state.new_refused[list(columns)] = True
        self._refused_why = error
        self._settling.changed()

    def read(
        self, batch: Batch, refusals: Sequence[Refusal] = (), *, planned: bool = False
    ) -> None:
        """Note the qualities of what the device gave, and why it gave no more.

        `planned` says that the requests were ours, so that `refused` hears what is wrong for good.
        """
        state = self._states.get(batch.schema.id)
        if state is None or (batch.quality is None and state.sound):
            return
        before, state.planned = state.bad(), planned
        if batch.quality is None:
            state.status[slice(None) if batch.index is None else batch.index] = 0
        elif batch.index is None:
            state.status[:] = batch.quality[-1]
        else:
            state.status[batch.index] = batch.quality
        state.sound = not state.status.any()
        if len(self._reasons) < _REASONS_KEPT:
            self._reasons |= {refusal.status: refusal.message for refusal in refusals}
        if not np.array_equal(before, state.bad()):
            self._settling.changed()

    def _tell(self) -> None:
        """Tell what is otherwise than it was told."""
        failed, back, refused = _Those(), _Those(), _Those()
        statuses: Counter[int] = Counter()
        still = 0
        for state in self._states.values():
            bad, now = state.bad(), state.failed()
            refused.add(state, state.new_refused)
            back.add(state, state.told & ~bad)
            failed.add(state, now & ~state.told)
            found, counts = np.unique(state.status[now & ~state.told], return_counts=True)
            statuses.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
            state.refused &= bad | state.new_refused
            state.told = (state.told & bad) | now | state.new_refused
            state.new_refused = np.zeros_like(state.new_refused)
            still += int(bad.sum())
        if refused.count:
            hint = "check the addresses against the device's manual"
            self._say(TAGS_REFUSED, refused, error=self._refused_why, hint=hint)
        if failed.count:
            status = statuses.most_common(1)[0][0]
            self._say(
                TAGS_BAD,
                failed,
                bad=still,
                status=quality_name(status),
                statuses=len(statuses),
                error=self._reasons.get(status, ""),
                hint="the device answers, and says that it has no value for them: look at it",
            )
        if back.count:
            self._say(TAGS_GOOD, back, bad=still)
        if not still:
            self._reasons.clear()

    def _say(self, event: Event, those: _Those, **fields: object) -> None:
        self._events.emit(event, device=self._device, count=those.count, tags=those.names, **fields)


@dataclass(slots=True)
class _Those:
    """How many tags one line is about, and the first of them."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, state: _State, columns: NDArray[np.bool_]) -> None:
        self.count += int(columns.sum())
        self.names += state.names(columns, NAMES_TOLD - len(self.names))


# --- devices --------------------------------------------------------------------------------------


class _Loss(NamedTuple):
    error: str
    hint: str


class LineNews:
    """The devices of one line: who was lost and who is back. `run` in a task.

    A device that has its line for itself is told of at once; but after AT_ONCE changes without
    HOLD_S of rest, only what has become of it every HOLD_S, and after how many `changes`.
    """

    def __init__(self, line: str, devices: int, seams: Seams) -> None:
        """Begin with nothing told of any of `devices`, which is how many there are."""
        self.line, self.shared, self._events = line, devices > 1, seams.events
        self._up: dict[str, bool] = {}
        self._lost: dict[str, _Loss] = {}
        self._back: list[str] = []
        self._clock = seams.clock
        self._told, self._changed_s = 0, -HOLD_S
        self._held: tuple[str, _Loss | None] | None = None
        self._changes = 0
        tell, settle_s = (self._tell, LINE_SETTLE_S) if self.shared else (self._tell_held, HOLD_S)
        self._settling = Settling(tell, seams.clock, settle_s, 0.0)

    async def run(self) -> None:
        """Tell until cancelled."""
        await self._settling.run()

    def lost(self, device: str, error: DeviceError) -> None:
        """Say that `device` cannot be read; again and again if need be."""
        if self._up.get(device) is not False:
            self._up[device] = False
            loss = _Loss(str(error), error.hint)
            if self.shared:
                self._lost.setdefault(device, loss)
                self._settling.changed()
            else:
                self._tell_alone(device, loss)

    def back(self, device: str) -> None:
        """Say that `device` gives what it is asked for; again and again if need be."""
        if self._up.get(device) is not True:
            self._up[device] = True
            if self.shared:
                self._back.append(device)
                self._settling.changed()
            else:
                self._tell_alone(device, None)

    def _tell_alone(self, device: str, loss: _Loss | None) -> None:
        """Tell of a change at once, or hold it if there were too many; no `loss`: it is back."""
        now_s = self._clock.monotonic_s()
        if self._held is None and now_s - self._changed_s >= HOLD_S:
            self._told = 0
        self._changed_s = now_s
        if self._told < AT_ONCE:
            self._told += 1
            self._say(self._events.emit, device, loss)
            return
        if self._held is not None:
            self._say(self._events.tally, *self._held)
        self._held, self._changes = (device, loss), self._changes + 1
        self._settling.changed()

    def _tell_held(self) -> None:
        """Tell what became of a device that flaps."""
        if self._held is not None:
            self._say(self._events.emit, *self._held, changes=self._changes)
        self._held, self._changes = None, 0

    def _say(
        self, tell: Callable[..., None], device: str, loss: _Loss | None, **more: object
    ) -> None:
        fields = {"device": device, **self._named(device), **more}
        if loss is None:
            tell(DEVICE_CONNECTED, **fields)
        else:
            tell(DEVICE_LOST, **fields, error=loss.error, hint=loss.hint)

    def _tell(self) -> None:
        """Tell of losses before returns, and of returns that lasted: each device once."""
        back = [device for device in dict.fromkeys(self._back) if self._up[device]]
        lost, self._lost, self._back = self._lost, {}, []
        if len(lost) > 1:
            (loss, _), *others = Counter(lost.values()).most_common()
            self._events.emit(
                LINE_LOST,
                line=self.line,
                count=len(lost),
                devices=list(lost)[:NAMES_TOLD],
                error=loss.error,
                errors=1 + len(others),
                hint=loss.hint,
            )
        tell = self._events.emit if len(lost) == 1 else self._events.tally
        for device, loss in lost.items():
            self._say(tell, device, loss)
        if len(back) > 1:
            names = back[:NAMES_TOLD]
            self._events.emit(LINE_RESTORED, line=self.line, count=len(back), devices=names)
        tell = self._events.emit if len(back) == 1 else self._events.tally
        for device in back:
            self._say(tell, device, None)

    def _named(self, device: str) -> dict[str, str]:
        """Give the line as a field, unless it has no other name than its device."""
        return {} if self.line == device else {"line": self.line}
