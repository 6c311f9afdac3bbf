"""One seed, one run: the whole agent and its servers on one virtual clock, everything going wrong.

The agent is `forebay.agent.serve` with a simulated PLC, disk, network and clock; the servers are
the fleet server's own sessions and stores. `simulate` raises AssertionError for a broken promise.
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
from forebay.events import AGENT_STOPPED, Events
from forebay.interfaces import DeviceSpec, DriverSpec, Seams, UplinkSpec
from forebay.journal.journal import Journal
from forebay.net import SystemNetwork
from forebay.settings import DeviceSettings, GroupSettings, TagSettings, UplinkSettings
from forebay.testing.disk import FaultyDisk
from sim import verdict
from sim.clock import SimClock
from sim.gate import WriterGate
from sim.loop import SimLoop
from sim.net import Net
from sim.plc import Plc, PlcDriver, schema
from sim.server import SimServer
from sim.uplink import SimUplink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.control.answers import Answers
    from forebay.control.view import LedgerLine
    from forebay.events import Event

GATEWAY = "box"
DEVICE = "plc"
WALL_NS = 1_795_000_000_000_000_000
TROUBLE_S = 240.0
HEALED_MOST_S = 7_200.0
ROOMY_BYTES, TIGHT_BYTES = 64 << 20, 96 << 10
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
        if event.level in ("warning", "error"):
            told = ", ".join(f"{key}={value}" for key, value in fields.items() if key != "hint")
            self._world.note(f"  {event.name}: {told}")
        super().emit(event, **fields)


class World:
    """Everything of one run."""

    def __init__(self, seed: int, directory: Path, loop: SimLoop) -> None:
        self.rng = random.Random(seed)
        self.loop, self.clock = loop, SimClock(loop, WALL_NS)
        self.disk = FaultyDisk()
        self.plc = Plc()
        names = ["cloud", "second"][: self.rng.choice((1, 1, 2))]
        self.nets = {name: Net(random.Random(self.rng.random())) for name in names}
        self.servers = {
            name: SimServer(directory / name, self.clock, random.Random(self.rng.random()))
            for name in names
        }
        self.tight = self.rng.random() < 0.3
        self.trace: list[str] = []
        self.lives = 0
        self.answers: Answers | None = None
        self.last_words: dict[str, dict[str, object]] = {}
        """What the last agent that stopped in order said of each uplink's account."""
        self._agent: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def note(self, text: str) -> None:
        """Add a line to the story of this run."""
        self.trace.append(f"{self.loop.time():9.3f} {text}")

    async def run(self) -> None:
        """Trouble, then peace, then the verdict."""
        for server in self.servers.values():
            server.start()
        self.start_agent()
        while self.loop.time() < TROUBLE_S:
            await asyncio.sleep(self.rng.uniform(0.05, 20))
            await self._trouble()
            self._check_alive()
        await self._heal()
        await self._drain()
        await self.stop_agent()
        self.start_agent()
        await self._drain()
        await self.stop_agent()
        for server in self.servers.values():
            await server.crash()
        verdict.check(self, self.last_words)

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
        events = SimEvents(log, self)
        seams = Seams(self.clock, self.disk, SystemNetwork(), rng, events)
        serving = agent.serve(self._config(), seams, self._stop, control=self._control)
        self._agent = asyncio.create_task(serving, name=f"agent {self.lives}")
        self.note(f"agent {self.lives} starts")

    async def stop_agent(self) -> None:
        """Stop it as SIGTERM does."""
        self.note("agent stops")
        self._stop.set()
        assert self._agent is not None
        await asyncio.wait([self._agent])
        self._agent.result()
        self._agent = self.answers = None

    async def end_agent(self, *, power: bool) -> None:
        """End it as SIGKILL does, or as a power cut does."""
        self.note("power cut" if power else "agent killed")
        self.disk.off = True
        assert self._agent is not None
        self._agent.cancel()
        await asyncio.wait([self._agent])
        if not self._agent.cancelled():
            self._agent.exception()  # what a dying process says means nothing
        self._agent = self.answers = None
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

    def _check_alive(self) -> None:
        if self._agent is not None and self._agent.done():
            self._agent.result()
            raise AssertionError("the agent ended by itself")

    def _config(self) -> LoadedConfig:
        tags = schema(DEVICE).tags
        device = DeviceSettings(
            protocol="sim", tags=(), groups={"default": GroupSettings(period=1.0)}
        )
        rows = {t.name: TagSettings(name=t.name, address=t.address, type=t.type) for t in tags}
        spec = DeviceSpec(DEVICE, device, (schema(DEVICE),), MappingProxyType(rows))
        driver = DriverSpec(
            "sim",
            DeviceSettings,
            TagSettings,
            frozenset({"poll"}),
            lambda spec, seams: PlcDriver(self.plc, seams.clock),
            {},
        )
        journal = JournalSettings.model_construct(
            directory=Path("/journal"),
            max_size=TIGHT_BYTES if self.tight else ROOMY_BYTES,
            segment_size=SEGMENT_BYTES,
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
            return SimUplink(self.nets[name], self.servers[name], GATEWAY, seams.clock)

        return UplinkSpec("sim", UplinkSettings, build, {})

    # --- trouble ------------------------------------------------------------------------------

    async def _trouble(self) -> None:
        name = self.rng.choice(list(self.nets))
        net, server = self.nets[name], self.servers[name]
        deed = self.rng.choice(
            (
                self._kill,
                self._kill,
                self._power,
                self._orderly,
                self._net_down,
                self._net_up,
                self._net_up,
                self._net_silent,
                self._net_slow,
                self._server_crash,
                self._server_crash,
                self._server_restored,
                self._disk_slow,
                self._plc,
                self._clock_step,
                self._rot,
            )
        )
        await deed(net, server)

    async def _kill(self, _net: Net, _server: SimServer) -> None:
        await self.end_agent(power=False)
        await asyncio.sleep(self.rng.uniform(0, 5))
        self.start_agent()

    async def _power(self, _net: Net, _server: SimServer) -> None:
        await self.end_agent(power=True)
        await asyncio.sleep(self.rng.uniform(0, 30))
        self.start_agent()

    async def _orderly(self, _net: Net, _server: SimServer) -> None:
        await self.stop_agent()
        self.start_agent()

    async def _net_down(self, net: Net, _server: SimServer) -> None:
        self.note("network down")
        net.cut()

    async def _net_up(self, net: Net, _server: SimServer) -> None:
        self.note("network up")
        net.up, net.silent, net.bytes_per_s = True, False, 1e9

    async def _net_silent(self, net: Net, _server: SimServer) -> None:
        self.note("network half open")
        net.silent = True

    async def _net_slow(self, net: Net, _server: SimServer) -> None:
        net.bytes_per_s = self.rng.choice((200.0, 2_000.0, 20_000.0))
        self.note(f"network {net.bytes_per_s:.0f} B/s")

    async def _server_crash(self, net: Net, server: SimServer) -> None:
        self.note("server killed")
        net.reset()
        await server.crash()
        if self.rng.random() < 0.3:
            server.back_up()
        await asyncio.sleep(self.rng.uniform(0, 10))
        server.start()

    async def _server_restored(self, net: Net, server: SimServer) -> None:
        if server.backup is None:
            return
        self.note("server restored from backup")
        net.reset()
        await server.crash()
        server.restore()
        server.start()

    async def _disk_slow(self, _net: Net, _server: SimServer) -> None:
        self.loop.disk_delay_most_s = self.rng.choice((0.002, 0.002, 0.1, 2.0))
        self.note(f"disk up to {self.loop.disk_delay_most_s} s")

    async def _plc(self, _net: Net, _server: SimServer) -> None:
        self.plc.down = not self.plc.down
        self.note(f"PLC {'off' if self.plc.down else 'on'}")

    async def _clock_step(self, _net: Net, _server: SimServer) -> None:
        seconds = self.rng.choice((-1, 1)) * self.rng.choice((0.2, 3_600.0, 3.2e8))
        self.clock.step_wall(seconds)
        self.clock.is_synced = self.rng.random() < 0.7
        self.note(f"clock {seconds:+.1f} s, {'synced' if self.clock.is_synced else 'unsynced'}")

    async def _rot(self, _net: Net, _server: SimServer) -> None:
        """Turn a bit of something that rests on disk; rarely, and not in what is being written."""
        resting = [p for p in self.disk.paths() if p.suffix == ".seg"][:-4]
        if resting and self.rng.random() < 0.3:
            path = self.rng.choice(resting)
            self.disk.flip(path, self.rng.randrange(max(1, self.disk.size(path) * 8)))
            self.note(f"bit flipped in {path.name}")

    async def _heal(self) -> None:
        self.note("peace")
        self.loop.disk_delay_most_s = 0.002
        for net in self.nets.values():
            net.up, net.silent, net.bytes_per_s = True, False, 1e9
        for server in self.servers.values():
            if not server.running:
                server.start()

    async def _drain(self) -> None:
        """Wait until nothing is pending; in peace that takes no more than a bounded time."""
        end_s = self.loop.time() + HEALED_MOST_S
        self.plc.down = True  # its rows are bad now, but they go on: pending is never quite 0
        while True:
            await asyncio.sleep(5.0)
            self._check_alive()
            lines = await self.ledger()
            if lines and all(line.pending <= 100 for line in lines.values()):
                return
            assert self.loop.time() < end_s, f"still pending: {lines}"


def simulate(seed: int) -> str:
    """Run one seed; give its story. AssertionError says which promise broke, and the story."""
    loop = SimLoop(random.Random(seed))
    gates = random.Random(seed)

    def opened(*arguments: Any, **more: Any) -> Journal:
        made = Journal(*arguments, **more)
        loop.gate = WriterGate(made, gates)
        return made

    with tempfile.TemporaryDirectory(prefix="forebay-sim-") as directory:
        asyncio.set_event_loop(loop)
        world = World(seed, Path(directory), loop)
        try:
            with mock.patch.object(agent, "Journal", opened):
                loop.run_until_complete(world.run())
        except BaseException as error:
            error.add_note(f"seed {seed}\n" + "\n".join(world.trace))
            raise
        finally:
            loop.gate = None
            asyncio.set_event_loop(None)
            loop.close()
    return "\n".join(world.trace)
