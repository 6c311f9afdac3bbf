"""The gate: rules first, then the intent on record, the device once, the outcome on record.

Owns at most once: an id is let out once, an intent is durable before anything goes out, and what
was in doubt is never sent again. Must not know protocols, nor how a request reached it.

    ask ──rules──▶ intent durable ──▶ device ──▶ outcome durable ──▶ answer
          └ no: REFUSED    └ not in time, no room: REFUSED
    start: intent without outcome ──▶ outcome UNKNOWN
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from forebay.clock import stamp
from forebay.errors import JournalFull, RequestInvalid
from forebay.events import WRITE_ENDED, WRITE_IN_DOUBT
from forebay.model import Outcome
from forebay.writing.audit import INTENT, OUTCOME, Deed, to_batch
from forebay.writing.memory import Memory, remember
from forebay.writing.rules import Action, Ask, Denied, Pace, decide, recall
from forebay.writing.values import said, same, to_engineering

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping

    from forebay.interfaces import DeviceAnswer, Intake, Operated, Seams, Value
    from forebay.settings import TagSettings
    from forebay.writing.memory import AuditTrail
    from forebay.writing.rules import Allowed
    from forebay.writing.settings import WritesSettings

MAX_AT_ONCE = 64
"""Requests that may be on their way to devices."""
OUTCOME_WAIT_S = 5.0
"""How long an answer waits for its outcome to be durable: the device has answered by then."""
REFUSAL_WAIT_S = 1.0
REFUSALS_A_MINUTE = 60
"""Refusals that are put on record one by one; the rest are counted in the next of them."""
CLOSE_S = 10.0
"""How long a stopping agent waits for writes that are on their way."""
MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS, MAX_ARGUMENTS = 64, 4_096, 256, 64
MAX_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Device:
    """One device as the gate knows it: the settings of its tags, and how it is reached."""

    tags: Mapping[str, TagSettings]
    operated: Operated


@dataclass(frozen=True, slots=True)
class Result:
    """How a request ended.

    `read_back` is what readers see now, None if it was not read; `outputs` are those of a method;
    `took_ms` is from the request to the device's answer, 0 if none came.
    """

    id: str
    outcome: Outcome
    detail: str = ""
    hint: str = ""
    read_back: Value | None = None
    outputs: tuple[Value, ...] = ()
    took_ms: float = 0.0


class Gate:
    """The one way to a device for whatever changes it."""

    def __init__(
        self,
        settings: WritesSettings,
        devices: Mapping[str, Device],
        intake: Intake,
        trail: AuditTrail,
        seams: Seams,
    ) -> None:
        """Let nothing out before `run` has read what was let out in earlier runs."""
        self._settings, self._devices, self._intake = settings, devices, intake
        self._trail, self._seams, self._clock = trail, seams, seams.clock
        self._pace, self._memory, self._remembered = Pace(), Memory(), False
        self._ready, self._closing = asyncio.Event(), asyncio.Event()
        self._ruled = asyncio.Event()
        self._away: frozenset[str] = frozenset()
        self._running: dict[str, tuple[Ask, asyncio.Task[Result]]] = {}
        self._refusals: list[float] = []
        self._unsaid = 0

    async def keep(self) -> None:
        """Do `run` now, and again whenever `follow` brought other rules, until cancelled.

        New rules count what was let out before they came.
        """
        while True:
            self._ruled.clear()
            await self.run()
            await self._ruled.wait()
            await self._ended_all(frozenset(self._devices))

    async def hold(self, devices: Collection[str]) -> None:
        """Refuse what is asked of `devices` until `follow`.

        Returns when what is on its way to them has ended, or after CLOSE_S.
        """
        self._away = frozenset(devices)
        await self._ended_all(self._away)

    async def _ended_all(self, devices: frozenset[str]) -> None:
        tasks = [task for ask, task in self._running.values() if ask.device in devices]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    def follow(self, settings: WritesSettings, devices: Mapping[str, Device]) -> None:
        """Go by these rules, and reach these devices, from now on."""
        changed = settings != self._settings
        self._settings, self._devices, self._away = settings, devices, frozenset()
        if changed:
            self._ready.clear()
            self._ruled.set()

    async def run(self) -> None:
        """Read what earlier runs let out, and say of what they left open that nobody knows.

        Then the gate is open. Raises JournalFailed if the disk fails.
        """
        if not self._settings.enabled:
            return
        await self._trail.opened()
        first, self._remembered = not self._remembered, True
        intents = await remember(self._trail, self._memory if first else Memory())
        pace, now_s = Pace(), self._clock.monotonic_s()
        recall(pace, self._settings, intents, self._clock.read(), now_s)
        self._pace = pace
        for deed in self._memory.open() if first else ():
            outcome = deed._replace(
                step=OUTCOME,
                outcome=Outcome.UNKNOWN.value,
                detail="the agent ended before the device's answer was on record",
            )
            while not await self._on_record(outcome, self._clock.monotonic_s() + OUTCOME_WAIT_S):
                await self._clock.sleep(OUTCOME_WAIT_S)
        self._ready.set()

    async def close(self) -> None:
        """Refuse what comes from now on, and wait for what is on its way, CLOSE_S at most."""
        self._closing.set()
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in tasks:
            task.cancel()

    async def ask(self, ask: Ask, deadline_s: float = 0.0) -> Result:
        """Have `ask` done once, if it may be, and say how it ended.

        Nothing goes out later than `deadline_s` from now (0: as configured). A request whose id was
        let out before gets the outcome of that one. Returns when the outcome is durable, or a
        moment later. Raises RequestInvalid for what cannot be meant; JournalFailed if the disk
        fails. A cancellation does not stop what is on its way.
        """
        began_s = self._clock.monotonic_s()
        if not ask.id:
            ask = replace(ask, id=f"{self._seams.rng.getrandbits(64):016x}")
        self._check(ask, deadline_s)
        due_s = began_s + (min(deadline_s, MAX_DEADLINE_S) or self._settings.deadline)
        while self._settings.enabled and not self._ready.is_set():
            if not await self._opened(due_s):
                detail = "the audit of earlier runs cannot be read yet"
                return await self._refused(ask, Denied(detail, "see `forebay journal status`"))
            self._check(ask, deadline_s)  # others may have come and gone meanwhile
        before = self._before(ask)
        if before is not None:
            return await before
        decided = self._decide(ask)
        if isinstance(decided, Denied):
            return await self._refused(ask, decided)
        task = asyncio.create_task(
            self._execute(ask, self._devices[ask.device], decided, began_s, due_s),
            name=f"write[{ask.id}]",
        )
        self._running[ask.id] = ask, task
        task.add_done_callback(partial(self._forget, ask.id))
        return await asyncio.shield(task)

    def _forget(self, id_: str, task: asyncio.Task[Result]) -> None:
        """Let go of what has ended; its failure, if any, is told by whoever owns the journal."""
        self._running.pop(id_, None)
        if not task.cancelled():
            task.exception()

    def _check(self, ask: Ask, deadline_s: float) -> None:
        """Raise RequestInvalid for what names nothing, or is beyond all limits."""
        device = self._devices.get(ask.device)
        if device is None:
            raise RequestInvalid(
                f"there is no device {ask.device!r} that is enabled", hint="see `forebay devices`"
            )
        if ask.action is Action.WRITE and ask.item not in device.tags:
            raise RequestInvalid(f"there is no tag {ask.target!r}", hint="see `forebay tags`")
        if not ask.id.isprintable() or not 1 <= len(ask.id) <= MAX_ID_CHARACTERS:
            raise RequestInvalid(
                "an id has 1 to 64 printable characters", hint="leave it out, and one is made"
            )
        if len(ask.reason) > MAX_REASON_CHARACTERS or len(ask.item) > MAX_NAME_CHARACTERS:
            raise RequestInvalid(
                f"a reason has at most {MAX_REASON_CHARACTERS} characters, "
                f"a name {MAX_NAME_CHARACTERS}",
                hint="shorten it",
            )
        if len(ask.values) > MAX_ARGUMENTS:
            raise RequestInvalid(f"at most {MAX_ARGUMENTS} arguments", hint="pass fewer")
        if not 0 <= deadline_s < float("inf"):
            raise RequestInvalid("a deadline is a number of seconds", hint="write one such as 5")

    async def _opened(self, due_s: float) -> bool:
        """Wait until earlier runs are known, but not beyond `due_s`."""
        try:
            async with asyncio.timeout(max(0.0, due_s - self._clock.monotonic_s())):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    def _before(self, ask: Ask) -> Coroutine[object, object, Result] | None:
        """Give what became, or becomes, of this id when it was let out; None if it never was."""
        running, done = self._running.get(ask.id), self._memory.get(ask.id)
        if running is not None:
            first, task = running
            if _deed(first, INTENT).asks(_deed(ask, INTENT)):
                return _joined(task)
        elif done is None:
            return None
        elif done.deed.asks(_deed(ask, INTENT)):
            return self._again(ask, done.deed, done.outcome)
        denied = Denied("its id was used for another request", "give each request an id of its own")
        return self._refused(ask, denied)

    async def _again(self, ask: Ask, deed: Deed, outcome: Outcome | None) -> Result:
        """Give the outcome that is on record for this id; nothing is sent."""
        detail = f"this id was let out before: {deed.detail}".removesuffix(": ")
        return Result(ask.id, outcome or Outcome.UNKNOWN, detail, "nothing was sent again")

    def _decide(self, ask: Ask) -> Allowed | Denied:
        if self._closing.is_set():
            return Denied("the agent is stopping", "ask again once it runs")
        if ask.device in self._away:
            return Denied(f"{ask.device} is being configured anew", "ask again in a moment")
        if len(self._running) >= MAX_AT_ONCE:
            return Denied(f"{MAX_AT_ONCE} others are on their way", "wait for their answers")
        now_s = self._clock.monotonic_s()
        return decide(ask, self._settings, self._devices[ask.device].tags, self._pace, now_s)

    async def _execute(
        self, ask: Ask, device: Device, allowed: Allowed, began_s: float, due_s: float
    ) -> Result:
        """Intent, device, outcome. Nothing goes out unless the intent is durable."""
        intent = _deed(ask, INTENT)
        if not await self._on_record(intent, due_s):
            denied = Denied(
                "the audit could not be written, and nothing was sent",
                "see `forebay journal status`: the disk",
            )
            return await self._refused(ask, denied, intended=True)
        self._memory.note(intent)
        if ask.action is Action.CALL:
            answer = await device.operated.call(ask.item, allowed.values, due_s)
        else:
            (raw,) = allowed.values
            tag = device.tags[ask.item]
            answer = await device.operated.write(ask.item, raw, due_s, read_back=tag.readable)
            answer = _compared(tag, raw, answer)
        took_ms = max(0.0, answer.answered_s - began_s) * 1e3 if answer.answered_s else 0.0
        result = Result(
            ask.id, answer.outcome, answer.detail, answer.hint, answer.read_back, answer.outputs,
            took_ms,
        )  # fmt: skip
        return await self._ended(ask, result)

    async def _ended(self, ask: Ask, result: Result) -> Result:
        """Put the outcome on record and tell the log."""
        outputs = said(result.outputs) if result.outputs else ""
        deed = _deed(ask, OUTCOME)._replace(
            outcome=result.outcome.value,
            detail=result.detail,
            read_back=outputs or said(result.read_back),
            took_ms=result.took_ms,
        )
        self._tell(ask, result.outcome, result.detail)
        self._memory.note(deed)
        if await self._on_record(deed, self._clock.monotonic_s() + OUTCOME_WAIT_S):
            return result
        detail = f"{result.detail}; the outcome is not on record yet".removeprefix("; ")
        return replace(result, detail=detail)

    async def _refused(self, ask: Ask, denied: Denied, *, intended: bool = False) -> Result:
        """Put a refusal on record, unless there were too many of late, and answer it."""
        now_s = self._clock.monotonic_s()
        self._refusals = [at for at in self._refusals if now_s - at < 60.0]
        self._tell(ask, Outcome.REFUSED, denied.detail)
        if intended or len(self._refusals) < REFUSALS_A_MINUTE:
            self._refusals.append(now_s)
            unsaid, self._unsaid = self._unsaid, 0
            more = f" (and {unsaid} refusals before)" if unsaid else ""
            deed = _deed(ask, OUTCOME)._replace(
                outcome=Outcome.REFUSED.value, detail=denied.detail + more
            )
            if not await self._on_record(deed, now_s + REFUSAL_WAIT_S):
                self._unsaid += unsaid + 1  # rather told twice than not at all
        else:
            self._unsaid += 1
        return Result(ask.id, Outcome.REFUSED, denied.detail, denied.hint)

    async def _on_record(self, deed: Deed, due_s: float) -> bool:
        """Make `deed` durable; False if there is no room for it, or it is not in time.

        It may become durable later all the same.
        """
        try:
            async with asyncio.timeout(max(0.0, due_s - self._clock.monotonic_s())):
                await self._intake.commit(to_batch(deed, stamp(self._clock)))
        except (TimeoutError, JournalFull):
            return False
        return True

    def _tell(self, ask: Ask, outcome: Outcome, detail: str) -> None:
        fields = {"device": ask.device, "target": ask.target, "id": ask.id, "detail": detail}
        if outcome is Outcome.UNKNOWN:
            self._seams.events.emit(WRITE_IN_DOUBT, **fields)
        else:
            self._seams.events.emit(WRITE_ENDED, outcome=outcome.value, **fields)


async def _joined(task: asyncio.Task[Result]) -> Result:
    return await asyncio.shield(task)


def _deed(ask: Ask, step: str) -> Deed:
    return Deed(ask.id, step, ask.action, ask.target, ask.said, ask.who, ask.reason)


def _compared(tag: TagSettings, raw: Value, answer: DeviceAnswer) -> DeviceAnswer:
    """Say whether the device has what it took, in the figures that readers see."""
    if answer.read_back is None:
        return answer
    seen = to_engineering(tag.to_tag(), answer.read_back)
    if same(tag.to_tag(), raw, answer.read_back):
        return replace(answer, read_back=seen)
    detail = f"the device took it, and reads {said(seen)}"
    hint = "its program may limit or overwrite it, or the type or order of the tag is wrong"
    return replace(answer, read_back=seen, detail=detail, hint=hint)
