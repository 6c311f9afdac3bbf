"""The composition root.

Builds every part from a loaded configuration, runs them in one TaskGroup, stops them in reverse.

Owns who knows whom and in which order things start and end. Must not know protocols, byte layouts
or screens.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from forebay import __version__
from forebay.cancellation import end
from forebay.clock import SystemClock
from forebay.control.answers import Acting, Answers
from forebay.control.metricserver import MetricsServer
from forebay.control.metricspusher import MetricsPusher
from forebay.control.pluginanswers import PluginAnswers
from forebay.control.scraping import Scraping
from forebay.control.sections import sections
from forebay.control.server import ControlServer
from forebay.errors import JournalFailed
from forebay.events import (
    AGENT_STARTED,
    AGENT_STOPPING,
    CONFIG_WARNED,
    JOURNAL_FAILED,
    Events,
)
from forebay.failures import Failures
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.journal.entry import Overflow
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.retention import FILE_SYSTEM_SHARE
from forebay.journal.scrub import Scrub
from forebay.management.carrying import Carrying
from forebay.management.commands import Commands, Tools
from forebay.management.connecting import Connecting
from forebay.management.delivering import Delivering
from forebay.management.desired import Desired
from forebay.management.diagnosis import Diagnosis
from forebay.management.ending import hand_over, tell_ledger
from forebay.management.fetching import Fetching
from forebay.management.health import Health
from forebay.management.link import Link
from forebay.management.liveness import Liveness, Manager
from forebay.management.loglevel import LogLevel
from forebay.management.logtail import LogTail
from forebay.management.packages import Packages
from forebay.management.renewal import Renewal
from forebay.management.rollout import Rollout
from forebay.management.runtime import Runtime
from forebay.management.shadowing import Shadowing
from forebay.management.slots import AgentSlots
from forebay.management.tending import Tending
from forebay.management.wanting import Wanting
from forebay.model import Stream
from forebay.net import SystemNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from forebay.acquisition.session import Session
    from forebay.config.linked import LinkStatus
    from forebay.config.load import LoadedConfig
    from forebay.config.metrics import MetricsSettings
    from forebay.config.model import JournalSettings, LogSettings
    from forebay.files import Disk
    from forebay.forwarding.forwarder import Forwarder
    from forebay.management.booting import Booting

Beside = Callable[[Runtime], Coroutine[object, object, None]]
"""Gives what runs as long as the devices do, and may change them."""


class Around(NamedTuple):
    """What a running process has about it, and a simulation lacks.

    `manager` is the service manager, `relog` makes the log what its settings say, `boot` knows
    which configuration runs, `slot` is what the launcher said (FOREBAY_SLOT; None: there is none),
    `tail` has the last lines of the log.
    """

    manager: Manager | None = None
    relog: Callable[[LogSettings], None] | None = None
    boot: Booting | None = None
    slot: str | None = None
    tail: LogTail | None = None


ALONE = Around()
DRAIN_S = 10.0
"""How long a stopping agent goes on forwarding to destinations that it is connected to."""
UNKNOWN_BYTES = 10 << 30
"""What the journal may take where nobody says, and its disk does not either."""
OFTEN = "the disk has failed three times in ten minutes"
"""Why an agent starts detached, instead of failing a fourth time."""
EXIT_IO_ERROR = 74
"""EX_IOERR of sysexits.h: the supervisor restarts the agent, which recovers from disk."""


def system_seams() -> Seams:
    """Give the real clock, disk, network and randomness."""
    return Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.SystemRandom(), Events())


def run(boot: Booting, relog: Callable[[LogSettings], None], tail: LogTail) -> int:
    """Run what `boot` gives until SIGTERM, SIGINT or SIGHUP; give the exit code.

    `relog` makes the log what its settings say, `tail` has its last lines. Raises ForebayError for
    what forbids a start.
    """
    import uvloop

    return uvloop.run(_run(boot, relog, tail))


async def _run(boot: Booting, relog: Callable[[LogSettings], None], tail: LogTail) -> int:
    seams = system_seams()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, _asked_to_stop, number, stop, seams)
    around = Around(Manager(os.environ), relog, boot, os.environ.get("FOREBAY_SLOT"), tail)
    code, again = 0, True
    while again and not stop.is_set():
        loaded = boot.load()
        relog(loaded.config.log)
        keep_for_good()
        code, again = await _one_life(loaded, seams, stop, around)
    return code


def keep_for_good() -> None:
    """Free what is left of an earlier configuration, and take what there is now for no garbage.

    What ten thousand tags are configured by stays until it is changed, and to look through it again
    and again would make polls late by a tenth of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def _one_life(
    loaded: LoadedConfig,
    seams: Seams,
    stop: asyncio.Event,
    around: Around,
) -> tuple[int, bool]:
    """Serve one configuration; give the exit code, and whether to load and begin again."""
    failures = Failures(loaded.config.control.socket, seams)
    found: list[JournalFailed] = []
    again = False
    try:
        detached = OFTEN if failures.too_many() else ""
        again = await serve(loaded, seams, stop, detached=detached, around=around)
    except* JournalFailed as group:
        found = leaves(group)
    if not found:
        return 0, again
    if not seams.events.count(JOURNAL_FAILED):  # a failure while opening; later ones were told
        seams.events.emit(JOURNAL_FAILED, error=str(found[0]), hint=found[0].hint)
    failures.note()
    return EXIT_IO_ERROR, False


def _asked_to_stop(number: signal.Signals, stop: asyncio.Event, seams: Seams) -> None:
    """Stop in order, once; a closed terminal (SIGHUP) is no reason to stop in disorder."""
    if not stop.is_set():
        stop.set()
        seams.events.emit(AGENT_STOPPING, signal=number.name, at_most_s=DRAIN_S)


def leaves(group: BaseExceptionGroup[JournalFailed]) -> list[JournalFailed]:
    """Give the errors of a group of groups."""
    found: list[JournalFailed] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def serve(
    loaded: LoadedConfig,
    seams: Seams,
    stop: asyncio.Event,
    control: Callable[[Path, Answers], AbstractAsyncContextManager[object]] = ControlServer,
    *,
    detached: str = "",
    around: Around = ALONE,
    beside: Beside | None = None,
) -> bool:
    """Run the agent until `stop` is set or `Runtime.again` is called, then stop it in order.

    Gives whether it was the latter. `control` is what answers local commands; a simulation has
    none, and nothing `around`. With a reason in `detached` it begins without a journal (see
    `Journal.detached`). Raises JournalFailed, in a group, if the disk fails.
    """
    config = loaded.config
    limits = journal_limits(config.journal, seams.disk)
    for fault in (*loaded.warnings, *loaded.quarantined):
        seams.events.emit(CONFIG_WARNED, path=fault.path, error=fault.message, hint=fault.hint)
    async with Journal(
        config.journal.directory, limits, seams, gateway=config.gateway.id, detached=detached
    ) as journal:
        runtime = Runtime(loaded, journal, seams)
        await runtime.prepare()
        runtime.relog = around.relog or runtime.relog
        managed = None
        if around.boot is not None:
            await _tell_unused(around.boot, seams)
            managed = _managed(around, around.boot, stop, runtime, seams)
            beside = managed.run
        plugins = PluginAnswers(runtime.plugins, seams)
        acting = Acting(runtime.gate, plugins, *(managed[:4] if managed else ()))
        engines = (seams, journal, runtime.pipeline, runtime.shadow)
        answers = Answers(loaded, *engines, *_running(runtime), acting)
        runtime.told = lambda: answers.follow(runtime.loaded, *_running(runtime))
        if managed is not None:
            managed.diagnosis.sections = partial(sections, answers)
        if around.manager is not None:
            runtime.settled = keep_for_good
        async with control(config.control.socket, answers), asyncio.TaskGroup() as tasks:
            await _serve(tasks, stop, seams, (answers, runtime, around.manager, beside))
            tell_ledger(journal, tuple(runtime.uplinks.forwarders), seams)
        return runtime.asked_again.is_set() and not stop.is_set()


async def _tell_unused(boot: Booting, seams: Seams) -> None:
    """Warn a person whose file is not what begins to run: something else was applied since."""
    if await asyncio.to_thread(boot.file_hash) != boot.running.hash:
        seams.events.emit(
            CONFIG_WARNED,
            path=str(boot.file),
            error=f"it is not what runs: generation {boot.running.generation} does",
            hint=f"see `forebay config diff`, take it with `forebay config apply {boot.file}`",
        )


class _Managed(NamedTuple):
    """What tries configurations, is carried by hand, looks after the agent; and what runs of it."""

    rollout: Rollout
    carrying: Carrying
    tending: Tending
    link: Callable[[], LinkStatus]
    diagnosis: Diagnosis
    run: Beside


def _managed(
    around: Around, boot: Booting, stop: asyncio.Event, runtime: Runtime, seams: Seams
) -> _Managed:
    """Make the parts that are about the box itself, and who hears of them far away."""
    rollout = Rollout(boot, runtime, runtime.pipeline, seams)
    renewal = Renewal(runtime.loaded.state, seams)
    level = LogLevel(runtime.loaded.config.log, runtime.relog, seams)
    runtime.relog = level.follow
    diagnosis = Diagnosis(runtime, rollout, boot.file, around.tail or LogTail(), seams)
    slots = AgentSlots(runtime.loaded.state, around.slot, runtime, seams, stop.set)
    slots.config, slots.memory_limit = boot.main, rollout.memory_limit
    packages = Packages(runtime.loaded.state, slots, seams, rollout.package_limit)
    packages.files, packages.trying = lambda: (boot.file,), rollout.trying
    desired = Desired(runtime.loaded.state, rollout, packages, runtime, seams)
    carrying = Carrying(runtime.loaded.state, desired, runtime, seams)
    fetching = Fetching(seams)
    tools = Tools(level, Delivering(runtime.loaded.state, diagnosis, fetching))
    commands = Commands(runtime.loaded.state, runtime, seams, tools)
    wanting = Wanting(rollout, desired, fetching, seams)
    connecting = Connecting(rollout, renewal, runtime, seams)
    shadowing = Shadowing(runtime, seams)
    about = (Health(runtime, seams), shadowing, packages)
    parts = (*about, wanting, commands, connecting)
    link = Link(runtime.loaded.state, parts, renewal, fetching, seams)
    link.by, connecting.why = connecting.by, lambda: link.standing.error
    runtime.fleet = link.connected

    async def managed(_: Runtime) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carrying.begin(), name="carrying.begin")
            tasks.create_task(rollout.run(), name="rollout")
            tasks.create_task(renewal.run(), name="fleet.renewal")
            tasks.create_task(commands.run(), name="fleet.commands")
            tasks.create_task(wanting.run(), name="fleet.wanting")
            tasks.create_task(connecting.run(), name="fleet.connecting")
            tasks.create_task(shadowing.run(), name="fleet.shadow")
            tasks.create_task(link.run(), name="fleet.link")
            tasks.create_task(slots.run(), name="slots")
            tasks.create_task(level.run(), name="log.level")

    tending = Tending(runtime, level, diagnosis, seams)
    told = lambda: wanting.told(link.status())  # noqa: E731 - both are made here
    return _Managed(rollout, carrying, tending, told, diagnosis, managed)


def _running(runtime: Runtime) -> tuple[Sequence[Session], Sequence[Forwarder]]:
    """Give the sessions and forwarders as they are now."""
    sessions, forwarders = runtime.devices.sessions, runtime.uplinks.forwarders
    return tuple(sessions.values()), tuple(forwarders.values())


def journal_limits(settings: JournalSettings, disk: Disk) -> JournalLimits:
    """Give what the journal may take, by the settings or by the size of its file system."""
    size = settings.max_size
    if size is None:
        size = UNKNOWN_BYTES
        with contextlib.suppress(OSError):  # opening the journal tells it better
            size = round(disk.total_bytes(settings.directory) * FILE_SYSTEM_SHARE)
    return JournalLimits(
        max_bytes=size,
        max_age_s=settings.max_age,
        segment_bytes=settings.segment_size,
        ring_bytes=settings.memory,
        overflow={s: Overflow(getattr(settings.streams, s).overflow) for s in Stream},
    )


async def _serve(
    tasks: asyncio.TaskGroup,
    stop: asyncio.Event,
    seams: Seams,
    parts: tuple[Answers, Runtime, Manager | None, Beside | None],
) -> None:
    """Start from the journal outwards.

    Stop from the devices inwards, so that nothing accepted is left behind.
    """
    answers, runtime, manager, beside = parts
    journal = runtime.journal

    def start(name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return tasks.create_task(work, name=name)

    counted, told = seams.events.registry, runtime.loaded.config.metrics
    scraping = Scraping(answers, runtime.pipeline.anchors, counted)
    metrics = MetricsServer(scraping, told, seams)
    pusher = MetricsPusher(scraping.look, counted, told.otlp, seams)
    answers.unserved = lambda: (metrics.trouble, pusher.trouble)

    def remeter(settings: MetricsSettings) -> None:
        metrics.follow(settings)
        pusher.follow(settings.otlp)

    runtime.remeter = remeter
    others = [start("observer", _observe(answers, seams)), start("scrub", _scrub(journal, seams))]
    others += [start("metrics", metrics.run()), start("metrics.otlp", pusher.run())]
    if manager is not None:
        liveness = Liveness(manager, runtime.signs, seams)
        others.append(start("liveness", liveness.run(runtime.words(), stop)))
    feeding = runtime.begin(start)
    answers.state = "running"
    seams.events.emit(
        AGENT_STARTED,
        version=__version__,
        devices=len(runtime.devices.sessions),
        uplinks=len(runtime.uplinks.forwarders),
        plugins=len(runtime.plugins.hosts),
    )
    managing = [start("beside", beside(runtime))] if beside is not None else []
    await _either(stop, runtime.asked_again)
    answers.state = "draining"
    await end(managing)
    await runtime.stop_inputs()
    await end(feeding)
    await runtime.devices.close()
    await hand_over(runtime.pipeline, journal, seams, DRAIN_S)
    await runtime.stop_outputs(DRAIN_S)
    await end(others)


async def _either(*events: asyncio.Event) -> None:
    """Wait until one of `events` is set."""
    waits = [asyncio.create_task(one.wait(), name="agent.wait") for one in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()


async def _scrub(journal: Journal, seams: Seams) -> None:
    """Read what rests on disk, slowly, for as long as the agent runs."""
    await journal.opened()
    await Scrub(journal, seams).run()


async def _observe(answers: Answers, seams: Seams) -> None:
    while True:
        await seams.clock.sleep(1.0)
        answers.observe()
