"""What the fleet server asks of this box, once each: read, write, restart a part, tell of itself.

    verified ──▶ begun, durable ──▶ intent in the audit ──▶ done ──▶ result, durable ──▶ reported
    start: begun without a result ──▶ UNKNOWN, never done again

Owns the order of these steps, and who may ask for what. Must not know how commands come (`link`).
"""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from forebay._proto import fleet_pb2 as pb
from forebay.clock import stamp
from forebay.errors import ConfigError, ForebayError, JournalFailed, JournalFull
from forebay.identity import FOLDER as IDENTITY
from forebay.management.events import FLEET_COMMAND_DROPPED, FLEET_COMMAND_ENDED
from forebay.management.orders import DAY_NS, FOLDER, CommandDropped, Orders, made, verify
from forebay.management.rollout import installed_limits
from forebay.management.telling import told
from forebay.model import ClockState, Outcome
from forebay.writing.audit import COMMANDS, INTENT, OUTCOME, Deed, to_batch
from forebay.writing.rules import Action, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from forebay.config.limits import Limits
    from forebay.identity import Identity
    from forebay.interfaces import Seams
    from forebay.management.delivering import Delivering
    from forebay.management.loglevel import LogLevel
    from forebay.management.runtime import Runtime

MAX_WAITING = 64
"""Commands that wait for their turn; the server sends the others again with its next stream."""
MAX_TAGS, MAX_RESULTS = 1_000, 16
MAX_RESULTS_BYTES = 1 << 20
"""Of the results in one report; one alone may be half of it."""
AUDIT_S = 10.0
"""How long a command waits at most for its intent to be durable; then it is refused."""
AGAIN_S = 60.0
AHEAD_NS = DAY_NS + 300 * 10**9
"""How far off an end may be: a day, and what two clocks may differ by."""
_OUTCOMES = {
    Outcome.GOOD: pb.COMMAND_DONE,
    Outcome.REFUSED: pb.COMMAND_REFUSED,
    Outcome.UNKNOWN: pb.COMMAND_UNKNOWN,
}


class Tools(NamedTuple):
    """What commands are done with, beside the running agent itself."""

    level: LogLevel
    delivering: Delivering


class Refused(Exception):
    """A command that is not executed; its text is the result's detail."""


class Commands:
    """Of one agent: a `parts.Part`. `run` until cancelled."""

    capabilities = pb.AGENT_ACCEPTS_COMMANDS

    def __init__(
        self,
        state: Path,
        runtime: Runtime,
        seams: Seams,
        tools: Tools,
        limits: Callable[[], Limits] = installed_limits,
    ) -> None:
        """Touch nothing yet."""
        self._tools = tools
        self._folder, self._runtime, self._seams = state / IDENTITY / FOLDER, runtime, seams
        self._limits = limits
        self._orders: Orders | None = None
        self._waiting: asyncio.Queue[tuple[pb.Signed, str, Sequence[bytes]]] = asyncio.Queue(
            MAX_WAITING
        )
        self.news: Callable[[], None] = _nobody
        """Called when there is a result to report."""

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:  # noqa: ARG002 - of a Part
        """See `Part.report`: results, again and again until the server has them."""
        message.results.extend(self.results())

    async def take(self, message: pb.ServerToAgent, identity: Identity) -> None:
        """See `Part.take`."""
        await self.accepted(message.accepted_results)
        for signed in message.commands:
            self.order(signed, identity)

    def order(self, signed: pb.Signed, identity: Identity) -> None:
        """Have a command executed in its turn, unless it was before."""
        try:
            self._waiting.put_nowait((signed, identity.gateway, identity.signing_keys))
        except asyncio.QueueFull:
            self._drop(CommandDropped("too many wait", hint="they come again", code="busy"))

    async def accepted(self, ids: Iterable[str]) -> None:
        """Note that the server has these results."""
        for id_ in ids:
            if self._orders is not None:
                try:
                    await asyncio.to_thread(self._orders.accept, id_)
                except OSError as error:  # it is told again, and accepted again
                    self._drop(_full(error))

    def results(self) -> list[pb.CommandResult]:
        """Give results that the server has not said it has; as many as one report holds."""
        known = self._orders.entries() if self._orders is not None else ()
        found = [one.result for one in known if one.result is not None and not one.accepted]
        sizes = accumulate(len(one) for one in found)
        fitting = sum(size <= MAX_RESULTS_BYTES for size in sizes)
        return [pb.CommandResult.FromString(one) for one in found[: min(MAX_RESULTS, fitting)]]

    async def run(self) -> None:
        """Say of what earlier runs left open that nobody knows; then execute, one at a time."""
        orders = await self._opened()
        for entry in orders.entries():
            if entry.result is None:
                detail = "the agent ended before its end was on record; it is not done again"
                result = pb.CommandResult(outcome=pb.COMMAND_UNKNOWN, detail=detail)
                await self._ended(orders, pb.Command(id=entry.id), result)
        async with asyncio.TaskGroup() as tasks:
            await self._serve(orders, tasks)

    async def _serve(self, orders: Orders, tasks: asyncio.TaskGroup) -> None:
        while True:
            signed, gateway, keys = await self._waiting.get()
            try:
                command = verify(signed, gateway, keys)
                if self._vouched():
                    await asyncio.to_thread(orders.forget, self._seams.clock.now_ns())
                if await asyncio.to_thread(orders.begin, made(command, signed)) is not None:
                    orders.tell_again(command.id)
                elif command.HasField("bundle"):  # it may take as long as the line needs
                    tasks.create_task(self._one(orders, command), name="fleet.bundle")
                else:
                    await self._one(orders, command)
            except CommandDropped as dropped:
                self._drop(dropped)
            except OSError as error:
                self._drop(_full(error))
            self.news()

    async def _opened(self) -> Orders:
        """Read what there is, as soon as the disk gives it: without it nothing is executed."""
        while True:
            try:
                now_ns = self._seams.clock.now_ns()
                orders = await asyncio.to_thread(Orders, self._folder, self._seams.disk, now_ns)
                self._orders = orders
            except OSError as error:
                text = f"earlier commands cannot be read: {error.strerror}"
                self._drop(CommandDropped(text, hint="check the disk", code="disk"))
                await self._seams.clock.sleep(AGAIN_S)
            else:
                return orders

    def _vouched(self) -> bool:
        return self._runtime.pipeline.anchors.state is not ClockState.UNSYNCED

    def _drop(self, dropped: CommandDropped) -> None:
        self._seams.events.emit(
            FLEET_COMMAND_DROPPED, code=dropped.code, error=str(dropped), hint=dropped.hint
        )

    async def _one(self, orders: Orders, command: pb.Command) -> None:
        """Execute a command that was begun just now, and put its end on record."""
        again = False
        try:
            await self._allowed(command)
            await self._intend(command)
            result, again = await self._done(command)
        except Refused as refused:
            result = pb.CommandResult(outcome=pb.COMMAND_REFUSED, detail=str(refused)[:1_000])
        except JournalFailed as error:
            # A device may have it: that the disk failed came after.
            detail = f"the journal failed meanwhile: {error}"[:1_000]
            result = pb.CommandResult(outcome=pb.COMMAND_UNKNOWN, detail=detail)
        except ForebayError as error:
            detail = f"{error} ({error.hint})"[:1_000]
            result = pb.CommandResult(outcome=pb.COMMAND_REFUSED, detail=detail)
        await self._ended(orders, command, result)
        if again:
            self._runtime.again()

    async def _ended(self, orders: Orders, command: pb.Command, result: pb.CommandResult) -> None:
        result.id, result.ended_ns = command.id, self._seams.clock.now_ns()
        try:
            await asyncio.to_thread(orders.note, command.id, result)
        except OSError as error:  # it is told all the same; after a restart it is UNKNOWN
            self._drop(_full(error))
        outcome = pb.CommandOutcome.Name(result.outcome).removeprefix("COMMAND_").lower()
        self._seams.events.emit(
            FLEET_COMMAND_ENDED, outcome=outcome, id=command.id, detail=result.detail
        )
        deed = _deed(command, OUTCOME)._replace(outcome=outcome, detail=result.detail)
        await self._on_record(deed)
        self.news()

    async def _allowed(self, command: pb.Command) -> None:
        """Raise Refused for what must not be executed now, or by this role."""
        kind = command.WhichOneof("action") or ""
        try:
            limits = await asyncio.to_thread(self._limits)
        except ConfigError as error:
            raise Refused(f"the box's limits cannot be read: {error}") from error
        if not limits.commands.allows(command.role, kind.replace("_", "-")):
            raise Refused(f"limits.toml does not allow {kind!r} to role {command.role[:32]!r}")
        if kind == "write" and not self._vouched():
            raise Refused("nobody vouches for this box's clock: nothing is written until then")
        if self._left_s(command) * 1e9 > AHEAD_NS:
            raise Refused("it would be valid for longer than a day")

    async def _intend(self, command: pb.Command) -> None:
        within_s = min(AUDIT_S, self._left_s(command))
        if not await self._on_record(_deed(command, INTENT), within_s):
            raise Refused("the audit could not be written, and nothing was done")
        self._left_s(command)

    def _left_s(self, command: pb.Command) -> float:
        """Give how long it may still begin, s; raise Refused once it may not."""
        left_s = (command.not_after_ns - self._seams.clock.now_ns()) / 1e9
        if left_s <= 0:
            raise Refused("it has expired")
        return left_s

    async def _on_record(self, deed: Deed, within_s: float = AUDIT_S) -> bool:
        try:
            async with asyncio.timeout(within_s):
                batch = to_batch(deed, stamp(self._seams.clock), COMMANDS)
                await self._runtime.pipeline.commit(batch)
        except (TimeoutError, JournalFull):
            return False
        return True

    async def _done(self, command: pb.Command) -> tuple[pb.CommandResult, bool]:
        """Do it; give the result, and whether the agent is to begin anew then."""
        match command.WhichOneof("action"):
            case "read":
                return self._read(command.read), False
            case "write":
                return await self._write(command), False
            case "restart" if command.restart.component == "agent":
                return pb.CommandResult(outcome=pb.COMMAND_DONE), True
            case "log_level":
                self._tools.level.ask(command.log_level.level, command.log_level.for_s)
                return pb.CommandResult(outcome=pb.COMMAND_DONE), False
            case "bundle":
                left_s = self._left_s(command)
                digest = await self._tools.delivering.deliver(command.id, left_s)
                return pb.CommandResult(outcome=pb.COMMAND_DONE, bundle_sha256=digest), False
            case "restart":
                await self._restart(command.restart.component)
                return pb.CommandResult(outcome=pb.COMMAND_DONE), False
        raise Refused("this version of the agent has no such command")

    async def _restart(self, component: str) -> None:
        if not await self._runtime.restart(component):
            raise Refused(f"there is no {component[:128]!r} that runs")

    def _read(self, read: pb.ReadCommand) -> pb.CommandResult:
        if len(read.tags) > MAX_TAGS:
            raise Refused(f"at most {MAX_TAGS} tags")
        values = []
        for target in read.tags:
            device, _, tag = target.partition("/")
            found = self._runtime.shadow.get(device, tag)
            if found is None:
                raise Refused(f"there is no tag {target[:256]!r}")
            values.append(told(device, found[1]))
        return pb.CommandResult(outcome=pb.COMMAND_DONE, values=values)

    async def _write(self, command: pb.Command) -> pb.CommandResult:
        write = command.write
        kind = write.WhichOneof("value")
        if kind is None:
            raise Refused("it names no value")
        ask = Ask(
            Action.WRITE,
            write.device,
            write.tag,
            (getattr(write, kind),),
            command.id,
            f"fleet:{command.issuer}",
            command.reason[:256],
        )
        usual_s = self._runtime.loaded.config.writes.deadline
        result = await self._runtime.gate.ask(ask, min(usual_s, self._left_s(command)))
        detail = result.detail if not result.hint else f"{result.detail} ({result.hint})"
        return pb.CommandResult(outcome=_OUTCOMES[result.outcome], detail=detail[:1_000])


def _full(error: OSError) -> CommandDropped:
    text = f"the state directory does not take it: {error.strerror}"
    return CommandDropped(text, hint="check the disk", code="disk")


def _deed(command: pb.Command, step: str) -> Deed:
    kind = command.WhichOneof("action") or "command"
    target = {
        "read": f"{len(command.read.tags)} tags",
        "write": f"{command.write.device}/{command.write.tag}",
        "restart": command.restart.component,
        "log_level": f"{command.log_level.level[:32]} for {command.log_level.for_s:g} s",
    }.get(kind, "")
    who = f"fleet:{command.issuer}" if command.issuer else "fleet"
    return Deed(command.id, step, kind, target[:256], command.role[:32], who, command.reason[:256])


def _nobody() -> None:
    """Tell nobody."""
