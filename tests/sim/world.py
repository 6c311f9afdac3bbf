"""The whole agent and its servers on one virtual clock, one seed a run.

The agent is `forebay.agent.serve` with a simulated PLC, disk, network and clock; the servers are
the fleet server's own sessions and stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from unittest import mock

import structlog

from forebay import agent
from forebay.config.devices import Device
from forebay.config.load import LoadedConfig, LoadedUplink
from forebay.config.model import Config, ControlSettings, GatewaySettings, JournalSettings
from forebay.events import AGENT_STOPPED, SEGMENT_THINNED, Events
from forebay.interfaces import DeviceSpec, DriverSpec, Seams, UplinkSpec
from forebay.journal.journal import Journal
from forebay.model import Stream
from forebay.net import SystemNetwork
from forebay.settings import DeviceSettings, GroupSettings, TagSettings, UplinkSettings
from forebay.testing.disk import FaultyDisk
from sim.clock import SimClock
from sim.gate import WriterGate
from sim.loop import SimLoop
from sim.net import Net
from sim.plc import Plc, PlcDriver
from sim.server import SimServer
from sim.uplink import SimUplink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence

    from forebay.control.answers import Answers
    from forebay.control.view import LedgerLine
    from forebay.events import Event
    from forebay.interfaces import Head, Resume
    from forebay.journal.entry import Entry
    from sim.book import Book

GATEWAY = "box"
DEVICE = "plc"
WALL_NS = 1_795_000_000_000_000_000
HEALED_MOST_S = 7_200.0
ROOMY_BYTES = 64 << 20
SEGMENT_BYTES = 8 << 10


class SimEvents(Events):
    """Keeps what a stopping agent says last, and the story of what it told before."""

    def __init__(self, log: Any, world: World) -> None:
        super().__init__(log)
        self._world = world

    def emit(self, event: Event, **fields: object) -> None:
        """See `Events.emit`."""
        if event is AGENT_STOPPED and "uplink" in fields:
            self._world.last_words[str(fields["uplink"])] = fields
        if event.level in ("warning", "error") or event is SEGMENT_THINNED:
            told = ", ".join(f"{key}={value}" for key, value in fields.items() if key != "hint")
            self._world.note(f"  {event.name}: {told}")
        super().emit(event, **fields)


class WatchedJournal(Journal):
    """Notes how far each epoch of telemetry is; every session begins by asking for that.

    And what it was given and called durable.
    """

    def __init__(self, world: World, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._written, self._book = world.written, world.book

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """See `Journal.submit`."""
        future = super().submit(entries)
        if self._book is not None:
            self._book.submitted(entries, future)
        return future

    def heads(self) -> tuple[Head, ...]:
        """See `Journal.heads`."""
        heads = super().heads()
        for head in heads:
            if head.stream is Stream.TELEMETRY:
                known = self._written.get(head.epoch, 1)
                self._written[head.epoch] = max(known, head.next_seq)
        return heads


class World:
    """One agent, its PLC, its servers, and the ground they stand on."""

    def __init__(self, seed: int, directory: Path, loop: SimLoop, uplinks: Sequence[str]) -> None:
        """Make everything; nothing runs yet. Files of the servers go below `directory`."""
        self.rng = random.Random(seed)
        self.loop, self.clock = loop, SimClock(loop, WALL_NS)
        self.disk: Any = FaultyDisk()
        self.journal = Path("/journal")
        self.max_bytes, self.segment_bytes = ROOMY_BYTES, SEGMENT_BYTES
        self.plc = Plc()
        self.period_s, self.commit_s = 1.0, 0.25
        self.nets = {name: Net(random.Random(self.rng.random())) for name in uplinks}
        self.servers = {
            name: SimServer(directory / name, self.clock, random.Random(self.rng.random()))
            for name in uplinks
        }
        self.book: Book | None = None
        """What verdicts go by, where the PLC's values tell their poll."""
        self.trace: list[str] = []
        self.lives = 0
        self.rolled_back = False
        """Whether the disk was ever put back from a backup: then the servers know of more."""
        self.written: dict[int, int] = {}
        """The next seq of each of telemetry's epochs, in the course of things that the disk has."""
        self.opened: Journal | None = None
        self.answers: Answers | None = None
        self.last_words: dict[str, dict[str, object]] = {}
        """What the last agent that stopped in order said of each uplink's account."""
        self._agent: asyncio.Task[bool] | None = None
        self._stop = asyncio.Event()

    def note(self, text: str) -> None:
        """Add a line to the story."""
        self.trace.append(f"{self.loop.time():9.3f} {text}")

    def look(self) -> dict[int, int]:
        """Note how far the open journal is, and give all that was noted."""
        if self.opened is not None:
            self.opened.heads()
        return dict(self.written)

    async def ledger(self) -> dict[str, LedgerLine]:
        """Give telemetry's line of the agent's ledger, by uplink; nothing before it runs."""
        if self.answers is None:
            return {}
        lines = await self.answers.ledger()
        return {line.uplink: line for line in lines if line.stream == "telemetry"}

    # --- the agent ----------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start a process on the disk as it is."""
        self.lives += 1
        self._stop = asyncio.Event()
        log = structlog.wrap_logger(
            None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
        )
        rng = random.Random(self.rng.random())
        self.last_words.clear()
        if self.book is not None:
            self.book.begin(cramped=self.disk.others_bytes > 0)
        events = SimEvents(log, self)
        seams = Seams(self.clock, self.disk, SystemNetwork(), rng, events)
        serving = agent.serve(self._config(), seams, self._stop, control=self._control)
        self._agent = asyncio.create_task(serving, name=f"agent {self.lives}")
        self.note(f"agent {self.lives} starts")

    async def stop_agent(self) -> None:
        """Stop it as SIGTERM does."""
        self.note("agent stops")
        self.look()
        self._stop.set()
        assert self._agent is not None
        await asyncio.wait([self._agent])
        self._agent.result()
        self._agent = self.answers = None
        if self.book is not None:
            self.book.end(self.loop.time(), None, self.loop.disk_delay_most_s)

    async def end_agent(self, *, power: bool) -> None:
        """End it as SIGKILL does, or as a power cut does."""
        self.note("power cut" if power else "agent killed")
        self.look()
        self.disk.off, ended_s = True, self.loop.time()
        assert self._agent is not None
        self._agent.cancel()
        await asyncio.wait([self._agent])
        if not self._agent.cancelled():
            self._agent.exception()  # what a dying process says means nothing
        self._agent = self.answers = None
        if self.book is not None:
            self.book.end(ended_s, self.commit_s, self.loop.disk_delay_most_s)
        if power:
            self.disk = self.disk.reboot(self.rng)
            self.clock.boot(self.lives + 1)
        else:
            self.disk.revive()

    @contextlib.asynccontextmanager
    async def _control(self, socket: Path, answers: Answers) -> AsyncIterator[None]:
        del socket
        self.answers = answers
        yield

    def check_alive(self) -> None:
        if self._agent is not None and self._agent.done():
            self._agent.result()
            raise AssertionError("the agent ended by itself")
        if self.book is not None and self.opened is not None:
            self.book.look(self.opened, self.nets)
            assert not self.book.overtaken, self.book.overtaken

    def _polled(self, poll: int) -> None:
        if self.book is not None:
            self.book.polled(poll, self.loop.time(), self.loop.disk_delay_most_s)

    def _config(self) -> LoadedConfig:
        schema = self.plc.schema(DEVICE)
        device = DeviceSettings(
            protocol="sim", tags=(), groups={"default": GroupSettings(period=self.period_s)}
        )
        rows = {
            t.name: TagSettings(name=t.name, address=t.address, type=t.type) for t in schema.tags
        }
        spec = DeviceSpec(DEVICE, device, (schema,), MappingProxyType(rows))
        driver = DriverSpec(
            "sim",
            DeviceSettings,
            TagSettings,
            frozenset({"poll"}),
            lambda _spec, seams, _line: PlcDriver(self.plc, seams.clock, self._polled),
            {},
        )
        journal = JournalSettings.model_construct(
            directory=self.journal,
            max_size=self.max_bytes,
            segment_size=self.segment_bytes,
            commit_interval=self.commit_s,
        )
        config = Config.model_construct(
            gateway=GatewaySettings(id=GATEWAY), journal=journal, control=ControlSettings()
        )
        uplinks = tuple(
            LoadedUplink(name, self._uplink(name), UplinkSettings(kind="sim")) for name in self.nets
        )
        return LoadedConfig(config, Path("/state"), (Device(spec, driver, ()),), uplinks)

    def _uplink(self, name: str) -> UplinkSpec:
        def build(_name: str, _settings: Any, seams: Seams) -> SimUplink:
            def told(resumes: Iterable[Resume]) -> None:
                if self.book is not None and self.opened is not None:
                    self.book.answered(self.opened, name, resumes)

            return SimUplink((self.nets[name], self.servers[name]), GATEWAY, seams.clock, told)

        return UplinkSpec("sim", UplinkSettings, build, {})

    async def heal(self) -> None:
        self.note("peace")
        self.loop.disk_delay_most_s = 0.002
        if isinstance(self.disk, FaultyDisk):
            self.disk.others_bytes = 0
        for net in self.nets.values():
            net.up, net.silent, net.bytes_per_s = True, False, 1e9
        for server in self.servers.values():
            if not server.running:
                server.start()

    async def drain(self) -> None:
        """Wait until nothing is pending; in peace that takes no more than a bounded time."""
        end_s = self.loop.time() + HEALED_MOST_S
        self.plc.down = True  # its rows are bad now, but they go on: pending is never quite 0
        while True:
            await asyncio.sleep(5.0)
            self.check_alive()
            lines = await self.ledger()
            if lines and all(line.pending <= 100 for line in lines.values()):
                return
            assert self.loop.time() < end_s, f"still pending: {lines}"


def run(
    seed: int, uplinks: Sequence[str], script: Callable[[World], Coroutine[None, None, None]]
) -> str:
    """Run `script` in a world of its own; give its story.

    AssertionError says which promise broke, and the story.
    """
    loop = SimLoop(random.Random(seed))
    gates = random.Random(seed)

    def opened(*arguments: Any, **more: Any) -> Journal:
        world.opened = made = WatchedJournal(world, *arguments, **more)
        loop.gate = WriterGate(made, gates)
        return made

    with tempfile.TemporaryDirectory(prefix="forebay-sim-") as directory:
        asyncio.set_event_loop(loop)
        world = World(seed, Path(directory), loop, uplinks)
        try:
            with mock.patch.object(agent, "Journal", opened):
                loop.run_until_complete(script(world))
        except BaseException as error:
            error.add_note(f"seed {seed}\n" + "\n".join(world.trace))
            raise
        finally:
            loop.gate = None
            asyncio.set_event_loop(None)
            loop.close()
    return "\n".join(world.trace)
