"""The gate over a real journal: on record before it goes out, once, and on record how it ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_batch
from forebay.errors import JournalFull, RequestInvalid
from forebay.events import WRITE_ENDED, WRITE_IN_DOUBT
from forebay.interfaces import DeviceAnswer
from forebay.journal.journal import Journal
from forebay.model import Outcome, Position, RecordKind, Stream
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.settings import TagSettings
from forebay.testing.disk import FaultyDisk
from forebay.writing.audit import INTENT, OUTCOME, SCHEMA, Deed, from_batch, sentence
from forebay.writing.gate import REFUSALS_A_MINUTE, Device, Gate
from forebay.writing.rules import Action, Ask
from forebay.writing.settings import WritesSettings
from support.journal import DIRECTORY, PLENTY
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from forebay.interfaces import Value
    from forebay.model import Batch

TAGS = {
    name: TagSettings.model_validate(
        {"name": name, "address": "1", "type": of, "access": access, "scale": scale}
    )
    for name, of, access, scale in (
        ("Setpoint", "int16", "read_write", 0.1),
        ("Mode", "string", "write", 1),
        ("Ratio", "float32", "read_write", 1),
    )
}
RULES = (
    {"tags": ["press/*"], "min": 0, "max": 80, "rate": "900/s"},
    {"methods": ["press/*"], "rate": "900/s"},
)


class Plc:
    """Counts what reaches it; `answer` says what it does."""

    def __init__(self) -> None:
        self.got: list[tuple[str, object, bool]] = []
        self.answer: Callable[[object], DeviceAnswer] = lambda value: DeviceAnswer(
            Outcome.GOOD,
            read_back=value,  # type: ignore[arg-type]
            answered_s=1e9,
        )
        self.stuck: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def write(
        self, tag: str, value: Value, due_s: float, *, read_back: bool = True
    ) -> DeviceAnswer:
        assert due_s > 0
        self.got.append((tag, value, read_back))
        return await self._answered(value)

    async def call(self, method: str, arguments: Sequence[Value], due_s: float) -> DeviceAnswer:
        assert due_s > 0
        self.got.append((method, tuple(arguments), False))
        answer = await self._answered(None)
        return replace(answer, read_back=None, outputs=tuple(arguments))

    async def _answered(self, value: object) -> DeviceAnswer:
        self.reached.set()
        if self.stuck is not None:
            await self.stuck.wait()
        return self.answer(value)


class Site:
    """One run of an agent's gate over a journal."""

    def __init__(self, journal: Journal, settings: WritesSettings) -> None:
        self.journal, self.plc = journal, Plc()
        self.seams = system_seams()
        self.intake = Pipeline(journal, Shadow(()), {}, self.seams, commit_interval_s=0.25)
        devices = {"press": Device(TAGS, self.plc)}
        self.gate = Gate(settings, devices, self.intake, journal, self.seams)

    async def write(
        self, item: str, value: Value, id_: str = "", deadline_s: float = 0.0
    ) -> tuple[Outcome, str]:
        result = await self.gate.ask(
            Ask(Action.WRITE, "press", item, (value,), id_, "uid:7", "why not"), deadline_s
        )
        return result.outcome, result.detail

    async def deeds(self) -> list[Deed]:
        """What the audit stream says, of all runs."""
        records = await self.journal.read(Position(Stream.AUDIT, 0, 0), 64 << 20)
        return [
            deed
            for record in records
            if record.kind is RecordKind.BATCH
            for deed in from_batch(decode_batch(record.payload, SCHEMA))
        ]


@asynccontextmanager
async def site(
    disk: FaultyDisk | None = None,
    *,
    enabled: bool = True,
    ready: bool = True,
    rules: Sequence[object] = RULES,
) -> AsyncIterator[Site]:
    """One run over `disk`, from recovery to an orderly end."""
    settings = WritesSettings.model_validate({"enabled": enabled, "allow": rules})
    journal = Journal(DIRECTORY, PLENTY, replace(system_seams(), disk=disk or FaultyDisk()))
    async with journal:
        run = Site(journal, settings)
        if ready:
            await run.gate.run()
        yield run
        await run.gate.close()
        await run.intake.close()


async def test_the_intent_is_durable_before_the_device_hears_of_it() -> None:
    async with site() as run:
        seen: list[list[Deed]] = []
        run.plc.stuck = asyncio.Event()
        writing = asyncio.create_task(run.write("Setpoint", 42.3, "w1"), name="write")
        await run.plc.reached.wait()
        seen.append(await run.deeds())
        run.plc.stuck.set()
        assert (await writing)[0] is Outcome.GOOD
        (intent,) = seen[0]
        assert (intent.id, intent.step, intent.target, intent.value) == (
            "w1",
            INTENT,
            "press/Setpoint",
            "42.3",
        )
        assert (intent.who, intent.reason, intent.outcome) == ("uid:7", "why not", "")
        _, outcome = await run.deeds()
        assert (outcome.step, outcome.outcome, outcome.read_back) == (OUTCOME, "good", "42.3")
        assert outcome.took_ms > 0
        assert run.plc.got == [("Setpoint", 423, True)]


async def test_what_is_refused_is_on_record_and_never_reaches_the_device() -> None:
    async with site() as run:
        assert (await run.write("Setpoint", 81))[0] is Outcome.REFUSED
        assert run.plc.got == []
        (deed,) = await run.deeds()
        assert (deed.step, deed.outcome) == (OUTCOME, "refused")
        assert "above" in sentence(deed)


async def test_without_enabled_everything_is_refused() -> None:
    async with site(enabled=False) as run:
        outcome, detail = await run.write("Setpoint", 1)
        assert (outcome, detail) == (Outcome.REFUSED, "writes are off")
        assert run.plc.got == []


async def test_no_room_for_the_audit_refuses() -> None:
    async with site() as run:

        async def full(batch: Batch) -> None:
            raise JournalFull("no room", hint="wait")

        run.intake.commit = full  # type: ignore[method-assign]
        outcome, detail = await run.write("Setpoint", 1)
        assert outcome is Outcome.REFUSED
        assert "audit" in detail
        assert run.plc.got == []


async def test_an_audit_that_is_not_durable_in_time_refuses() -> None:
    async with site() as run:
        commit, hung = run.intake.commit, asyncio.Event()

        async def slow(batch: Batch) -> None:
            await hung.wait()
            await commit(batch)

        run.intake.commit = slow  # type: ignore[method-assign]
        outcome, _ = await run.write("Setpoint", 1, deadline_s=0.05)
        assert outcome is Outcome.REFUSED
        assert run.plc.got == []


async def test_an_id_is_let_out_once() -> None:
    async with site() as run:
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.GOOD
        outcome, detail = await run.write("Setpoint", 1, "w1")
        assert outcome is Outcome.GOOD
        assert "let out before" in detail
        assert (await run.write("Setpoint", 2, "w1"))[0] is Outcome.REFUSED
        assert (await run.write("Ratio", 1, "w1"))[0] is Outcome.REFUSED
        assert len(run.plc.got) == 1


async def test_a_replay_joins_what_is_on_its_way() -> None:
    async with site() as run:
        run.plc.stuck = asyncio.Event()
        both = [
            asyncio.create_task(run.write("Setpoint", 1, "w1"), name=f"write-{n}") for n in (1, 2)
        ]
        await run.plc.reached.wait()
        other = await run.write("Setpoint", 2, "w1")
        assert other[0] is Outcome.REFUSED
        run.plc.stuck.set()
        assert [(await one)[0] for one in both] == [Outcome.GOOD] * 2
        assert len(run.plc.got) == 1


async def test_what_was_refused_before_it_went_out_may_be_asked_again() -> None:
    async with site() as run:
        assert (await run.write("Setpoint", 81, "w1"))[0] is Outcome.REFUSED
        assert (await run.write("Setpoint", 79, "w1"))[0] is Outcome.GOOD


async def test_ids_are_remembered_over_a_restart() -> None:
    disk = FaultyDisk()
    async with site(disk) as run:
        await run.write("Setpoint", 1, "w1")
        run.plc.answer = lambda _: DeviceAnswer(Outcome.REFUSED, "the device said no")
        await run.write("Setpoint", 2, "w2")
    async with site(disk) as run:
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.GOOD
        assert (await run.write("Setpoint", 2, "w2"))[0] is Outcome.REFUSED
        assert (await run.write("Setpoint", 1, "w2"))[0] is Outcome.REFUSED
        assert run.plc.got == []


async def test_an_intent_without_an_outcome_is_unknown_after_a_restart_and_never_sent() -> None:
    disk = FaultyDisk()
    async with site(disk) as run:
        run.plc.stuck = asyncio.Event()
        writing = asyncio.create_task(run.write("Setpoint", 1, "w1"), name="write")
        await run.plc.reached.wait()
        for _, task in tuple(run.gate._running.values()):  # noqa: SLF001 - what a kill does
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    async with site(disk) as run:
        deeds = await run.deeds()
        assert [(d.step, d.outcome) for d in deeds] == [(INTENT, ""), (OUTCOME, "unknown")]
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.UNKNOWN
        assert run.plc.got == []
    async with site(disk) as run:
        assert len(await run.deeds()) == 2, "told once"


async def test_a_doubt_is_told_as_one() -> None:
    async with site() as run:
        run.plc.answer = lambda _: DeviceAnswer(Outcome.UNKNOWN, "no answer")
        assert await run.write("Setpoint", 1) == (Outcome.UNKNOWN, "no answer")
        assert run.seams.events.count(WRITE_IN_DOUBT, device="press") == 1
        assert run.seams.events.count(WRITE_ENDED) == 0
        assert [deed.outcome for deed in await run.deeds()] == ["", "unknown"]


async def test_a_device_that_reads_otherwise_is_said_to() -> None:
    async with site() as run:
        run.plc.answer = lambda _: DeviceAnswer(Outcome.GOOD, read_back=400, answered_s=1e9)
        outcome, detail = await run.write("Setpoint", 42.3)
        assert (outcome, detail) == (Outcome.GOOD, "the device took it, and reads 40.0")


async def test_what_may_only_be_written_is_not_read_back() -> None:
    async with site() as run:
        await run.write("Mode", "auto")
        assert run.plc.got == [("Mode", "auto", False)]


async def test_methods_pass_the_same_gate() -> None:
    async with site() as run:
        result = await run.gate.ask(Ask(Action.CALL, "press", "Start", (7, "red"), "c1", "uid:7"))
        assert (result.outcome, result.outputs) == (Outcome.GOOD, (7, "red"))
        intent, outcome = await run.deeds()
        assert (intent.action, intent.value) == ("call", '[7, "red"]')
        assert outcome.read_back == '[7, "red"]'


async def test_what_names_nothing_is_invalid() -> None:
    async with site() as run:
        for ask in (
            Ask(Action.WRITE, "oven", "Setpoint", (1,), "", "uid:7"),
            Ask(Action.WRITE, "press", "Nothing", (1,), "", "uid:7"),
            Ask(Action.WRITE, "press", "Setpoint", (1,), "x" * 65, "uid:7"),
            Ask(Action.WRITE, "press", "Setpoint", (1,), "x\n", "uid:7"),
            Ask(Action.WRITE, "press", "Setpoint", (1,), "", "uid:7", "y" * 300),
            Ask(Action.CALL, "press", "m", (1,) * 65, "", "uid:7"),
        ):
            with pytest.raises(RequestInvalid):
                await run.gate.ask(ask)
        with pytest.raises(RequestInvalid):
            await run.write("Setpoint", 1, deadline_s=-1)
        assert await run.deeds() == []


async def test_a_huge_value_is_refused_and_on_record() -> None:
    async with site() as run:
        assert (await run.write("Mode", "\0" * 400_000))[0] is Outcome.REFUSED
        (deed,) = await run.deeds()
        assert "SHA-256" in deed.value


async def test_an_id_is_made_where_none_is_given() -> None:
    async with site() as run:
        ask = Ask(Action.WRITE, "press", "Setpoint", (1,), "", "uid:7")
        ids = {(await run.gate.ask(ask)).id for _ in range(3)}
        assert len(ids) == len(run.plc.got) == 3


async def test_until_earlier_runs_are_known_nothing_goes_out() -> None:
    async with site(ready=False) as run:
        outcome, detail = await run.write("Setpoint", 1, deadline_s=0.05)
        assert outcome is Outcome.REFUSED
        assert "earlier runs" in detail
        assert run.plc.got == []


async def test_a_caller_that_hangs_up_does_not_stop_what_is_on_its_way() -> None:
    async with site() as run:
        run.plc.stuck = asyncio.Event()
        writing = asyncio.create_task(run.write("Setpoint", 1, "w1"), name="write")
        await run.plc.reached.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        run.plc.stuck.set()
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.GOOD
        assert [deed.outcome for deed in await run.deeds()] == ["", "good"]
        assert len(run.plc.got) == 1


async def test_a_stopping_agent_refuses_and_waits_for_what_is_on_its_way() -> None:
    async with site() as run:
        run.plc.stuck = asyncio.Event()
        writing = asyncio.create_task(run.write("Setpoint", 1, "w1"), name="write")
        await run.plc.reached.wait()
        closing = asyncio.create_task(run.gate.close(), name="close")
        await asyncio.sleep(0)
        assert (await run.write("Setpoint", 2))[1] == "the agent is stopping"
        run.plc.stuck.set()
        await closing
        assert (await writing)[0] is Outcome.GOOD


async def test_a_flood_of_refusals_is_counted_not_kept() -> None:
    async with site() as run:
        for _ in range(REFUSALS_A_MINUTE + 40):
            await run.write("Setpoint", 81)
        assert len(await run.deeds()) == REFUSALS_A_MINUTE


async def test_a_refusal_that_found_no_room_is_counted_in_the_next() -> None:
    async with site() as run:
        commit = run.intake.commit

        async def full(batch: Batch) -> None:
            raise JournalFull("no room", hint="wait")

        run.intake.commit = full  # type: ignore[method-assign]
        for _ in range(3):
            await run.write("Setpoint", 81)
        run.intake.commit = commit  # type: ignore[method-assign]
        await run.write("Setpoint", 82)
        (deed,) = await run.deeds()
        assert deed.detail.endswith("(and 3 refusals before)")


async def test_a_restart_does_not_let_one_more_out() -> None:
    disk = FaultyDisk()
    rules = ({"tags": ["press/*"], "min": 0, "max": 80, "rate": "2/d"},)
    async with site(disk, rules=rules) as run:
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.GOOD
        assert (await run.write("Setpoint", 2, "w2"))[0] is Outcome.GOOD
    async with site(disk, rules=rules) as run:
        outcome, detail = await run.write("Setpoint", 3, "w3")
        assert outcome is Outcome.REFUSED
        assert "too soon" in detail
        assert run.plc.got == []


async def test_new_rules_count_what_was_let_out_before_them() -> None:
    async with site() as run:
        keeping = asyncio.create_task(run.gate.keep(), name="keep")
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.GOOD
        seldom = {"tags": ["press/*"], "min": 0, "max": 80, "rate": "1/d"}
        rules = [{"methods": ["press/x"]}, seldom]
        narrow = WritesSettings.model_validate({"enabled": True, "allow": rules})
        run.gate.follow(narrow, {"press": Device(TAGS, run.plc)})
        outcome, detail = await run.write("Setpoint", 2, "w2")
        assert (outcome, "too soon" in detail) == (Outcome.REFUSED, True)
        same, _ = await run.write("Setpoint", 1, "w1")
        assert same is Outcome.GOOD, "an id is answered as it was"
        assert len(run.plc.got) == 1
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_writes_that_are_enabled_later_know_of_earlier_runs() -> None:
    disk = FaultyDisk()
    async with site(disk) as run:
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.GOOD
    async with site(disk, enabled=False, ready=False) as run:
        keeping = asyncio.create_task(run.gate.keep(), name="keep")
        assert (await run.write("Setpoint", 1, "w1"))[0] is Outcome.REFUSED
        on = WritesSettings.model_validate({"enabled": True, "allow": RULES})
        run.gate.follow(on, {"press": Device(TAGS, run.plc)})
        outcome, detail = await run.write("Setpoint", 1, "w1")
        assert outcome is Outcome.GOOD
        assert "let out before" in detail
        assert run.plc.got == []
        off = on.model_copy(update={"enabled": False})
        run.gate.follow(off, {"press": Device(TAGS, run.plc)})
        assert (await run.write("Setpoint", 3, "w3"))[0] is Outcome.REFUSED
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_device_that_is_changed_takes_nothing_meanwhile_and_ends_what_it_has() -> None:
    async with site() as run:
        run.plc.stuck = asyncio.Event()
        writing = asyncio.create_task(run.write("Setpoint", 1, "w1"), name="write")
        await run.plc.reached.wait()
        holding = asyncio.create_task(run.gate.hold(["press"]), name="hold")
        await asyncio.sleep(0)
        outcome, detail = await run.write("Setpoint", 2)
        assert (outcome, "configured anew" in detail) == (Outcome.REFUSED, True)
        assert not holding.done(), "it waits for what is on its way"
        run.plc.stuck.set()
        assert (await writing)[0] is Outcome.GOOD
        await holding
        other = Plc()
        settings = WritesSettings.model_validate({"enabled": True, "allow": RULES})
        run.gate.follow(settings, {"press": Device(TAGS, other)})
        assert (await run.write("Setpoint", 3))[0] is Outcome.GOOD
        assert (len(run.plc.got), len(other.got)) == (1, 1)
        run.gate.follow(settings, {})
        with pytest.raises(RequestInvalid):
            await run.write("Setpoint", 4)
