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
from typing import TYPE_CHECKING

from forebay import __version__
from forebay.acquisition.memory import PlanMemory
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.acquisition.wires import wires
from forebay.clock import SystemClock
from forebay.control.answers import Acting, Answers
from forebay.control.pluginanswers import PluginAnswers
from forebay.control.server import ControlServer
from forebay.errors import JournalFailed
from forebay.events import (
    AGENT_STARTED,
    AGENT_STOPPED,
    AGENT_STOPPING,
    CONFIG_WARNED,
    JOURNAL_FAILED,
    Events,
)
from forebay.failures import Failures
from forebay.files import SystemDisk
from forebay.forwarding.forwarder import Forwarder
from forebay.interfaces import Seams
from forebay.journal.entry import Overflow
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.retention import FILE_SYSTEM_SHARE
from forebay.journal.scrub import Scrub
from forebay.management.liveness import Liveness, Manager, Signs
from forebay.management.plugins import Engines, PluginSet, plugin_cursors, result_schemas
from forebay.model import Stream
from forebay.net import SystemNetwork
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.writing.gate import Device as Gated
from forebay.writing.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from forebay.config.load import LoadedConfig
    from forebay.config.model import JournalSettings
    from forebay.files import Disk

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


def run(loaded: LoadedConfig) -> int:
    """Run the agent until SIGTERM, SIGINT or SIGHUP; give the exit code.

    Raises ForebayError for what forbids a start.
    """
    import uvloop

    return uvloop.run(_run(loaded))


async def _run(loaded: LoadedConfig) -> int:
    seams = system_seams()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, _asked_to_stop, number, stop, seams)
    failures = Failures(loaded.config.control.socket, seams)
    found: list[JournalFailed] = []
    # What ten thousand tags are configured by stays for good, and to look through it for garbage
    # again and again would make polls late by a tenth of a second.
    gc.collect()
    gc.freeze()
    try:
        detached = OFTEN if failures.too_many() else ""
        await serve(loaded, seams, stop, detached=detached, manager=Manager(os.environ))
    except* JournalFailed as group:
        found = leaves(group)
    if not found:
        return 0
    if not seams.events.count(JOURNAL_FAILED):  # a failure while opening; later ones were told
        seams.events.emit(JOURNAL_FAILED, error=str(found[0]), hint=found[0].hint)
    failures.note()
    return EXIT_IO_ERROR


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
    manager: Manager | None = None,
) -> None:
    """Run the agent until `stop` is set, then stop it in order.

    `control` is what answers local commands; a simulation has none, and no `manager`. With a reason
    in `detached` it begins without a journal (see `Journal.detached`). Raises JournalFailed, in a
    group, if the disk fails.
    """
    config = loaded.config
    limits = journal_limits(config.journal, seams.disk)
    for fault in loaded.warnings:
        seams.events.emit(CONFIG_WARNED, path=fault.path, error=fault.message, hint=fault.hint)
    async with Journal(
        config.journal.directory, limits, seams, gateway=config.gateway.id, detached=detached
    ) as journal:
        enabled = [device for device in loaded.devices if device.spec.settings.enabled]
        schemas = [schema for device in enabled for schema in device.spec.schemas]
        derived = [s for stream, s in result_schemas(loaded.plugins) if stream is Stream.TELEMETRY]
        shadow = Shadow([*schemas, *derived])
        stages = {
            d.spec.name: tuple(spec.build(settings) for spec, settings in d.stages) for d in enabled
        }
        pipeline = Pipeline(
            journal, shadow, stages, seams, commit_interval_s=config.journal.commit_interval
        )
        pulse = Pulse(seams)
        sessions = [
            Session(d.spec, d.driver.build, w.line, pipeline, seams, pulse, place=w)
            for d, w in zip(enabled, wires(enabled, seams), strict=True)
        ]
        memory = PlanMemory(loaded.state / "plans", (d.spec for d in enabled), seams)
        await memory.load()
        for session in sessions:
            session.remember(memory.of(session.name))
        forwarders = [
            Forwarder(
                name, spec.build(name, settings, seams), settings, journal, config.gateway.id, seams
            )
            for name, spec, settings in loaded.uplinks
            if settings.enabled
        ]
        for name, _, _ in loaded.uplinks:
            journal.cursor(name)  # a disabled uplink keeps its claim on what it has not got
        for cursor in plugin_cursors(loaded.plugins):
            journal.cursor(cursor)  # what a plugin has not seen is held back for it
        tags = {device.spec.name: device.spec.tags for device in enabled}
        reached = {s.name: Gated(tags[s.name], s.operations) for s in sessions}
        gate = Gate(config.writes, reached, pipeline, journal, seams)
        plugins = PluginSet(loaded, Engines(journal, pipeline, gate), seams)
        acting = Acting(gate, PluginAnswers(plugins, seams))
        answers = Answers(loaded, seams, journal, pipeline, shadow, sessions, forwarders, acting)
        async with control(config.control.socket, answers), asyncio.TaskGroup() as tasks:
            parts = (answers, journal, pipeline, pulse, sessions, forwarders, memory, plugins)
            if manager is not None:
                liveness = Liveness(manager, signs_of(journal, pipeline, sessions), seams)
                tasks.create_task(liveness.run(_words(journal, sessions), stop), name="liveness")
            await _serve(tasks, stop, seams, parts)
            _tell_ledger(journal, forwarders, seams)


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
    parts: tuple[
        Answers,
        Journal,
        Pipeline,
        Pulse,
        Sequence[Session],
        Sequence[Forwarder],
        PlanMemory,
        PluginSet,
    ],
) -> None:
    """Start from the journal outwards.

    Stop from the devices inwards, so that nothing accepted is left behind.
    """
    answers, journal, pipeline, pulse, sessions, forwarders, memory, plugins = parts

    def start(name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return tasks.create_task(work, name=name)

    sending = [start(f"forwarder[{f.name}]", _forward(journal, f)) for f in forwarders]
    flushing = [start("pipeline", pipeline.run()), start("clock", pipeline.watch_clock())]
    flushing += [start("writes", answers.gate.run())]
    observing = start("observer", _observe(answers, seams))
    plugins.begin(start)
    polling = [start("pulse", pulse.run()), start("scrub", _scrub(journal, seams))]
    polling += [start("plans", memory.run())]
    polling += [start(f"session[{s.name}]", s.run()) for s in sessions]
    told = {session.news: None for session in sessions}
    polling += [start(f"line[{news.line}]", news.run()) for news in told if news.shared]
    answers.state = "running"
    seams.events.emit(
        AGENT_STARTED,
        version=__version__,
        devices=len(sessions),
        uplinks=len(forwarders),
        plugins=len(plugins.hosts),
    )
    await stop.wait()
    answers.state = "draining"
    await answers.gate.close()
    await _cancel(polling)
    await plugins.stop()  # what they had in hand is journaled like everything else
    await _cancel([*plugins.tasks, *flushing])
    await memory.close()
    await _hand_over(pipeline, journal, seams)
    reachable = [forwarder for forwarder in forwarders if forwarder.status().state == "connected"]
    await asyncio.gather(*(forwarder.drain(DRAIN_S) for forwarder in reachable))
    await _cancel([*sending, observing])


def signs_of(
    journal: Journal, pipeline: Pipeline, sessions: Sequence[Session]
) -> Callable[[], Signs]:
    """Give what looks at the signs of progress of these parts."""
    groups = [group for s in sessions for group in s.spec.settings.groups.values()]
    shortest_s = min((group.period for group in groups if group.mode == "poll"), default=None)

    def look() -> Signs:
        figures = journal.stats()
        return Signs(
            polls=sum(session.status.polls for session in sessions),
            commits=figures.commits,
            waiting=bool(figures.queued_bytes or pipeline.pending_samples()),
            trouble=figures.trouble,
            period_s=shortest_s,
        )

    return look


def _words(journal: Journal, sessions: Sequence[Session]) -> str:
    """Say in a line what runs, for `systemctl status`."""
    without = f", without a journal: {journal.detached}" if journal.detached else ""
    return f"{len(sessions)} devices{without}"


async def _forward(journal: Journal, forwarder: Forwarder) -> None:
    """Forward as soon as there is a journal: nothing can be said of it before."""
    await journal.opened()
    await forwarder.run()


async def _scrub(journal: Journal, seams: Seams) -> None:
    """Read what rests on disk, slowly, for as long as the agent runs."""
    await journal.opened()
    await Scrub(journal, seams).run()


async def _hand_over(pipeline: Pipeline, journal: Journal, seams: Seams) -> None:
    """Wait until all that was accepted is durable, but not long for a disk that takes nothing.

    The next start says that something is missing: this run's end is not orderly then.
    """
    closing = asyncio.create_task(pipeline.close(), name="pipeline.close")
    stuck_s = 0.0
    while stuck_s < DRAIN_S and not closing.done():
        second = asyncio.create_task(seams.clock.sleep(1.0), name="pipeline.close.look")
        await asyncio.wait((closing, second), return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        stuck_s = stuck_s + 1.0 if journal.stats().trouble else 0.0
    closing.cancel()
    await asyncio.wait([closing])
    if not closing.cancelled():
        closing.result()


async def _observe(answers: Answers, seams: Seams) -> None:
    while True:
        await seams.clock.sleep(1.0)
        answers.observe()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _tell_ledger(journal: Journal, forwarders: Sequence[Forwarder], seams: Seams) -> None:
    """Put the account of all streams together into the log: the last word of this run."""
    for forwarder in forwarders:
        cursor = journal.cursor(forwarder.name)
        accounts = [journal.ledger(stream, cursor) for stream in Stream]
        seams.events.emit(
            AGENT_STOPPED,
            uplink=forwarder.name,
            produced=sum(account.produced for account in accounts),
            delivered=sum(account.delivered for account in accounts),
            pending=sum(account.pending for account in accounts),
            gapped=sum(account.gapped for account in accounts),
            quarantined=sum(account.quarantined for account in accounts),
        )
    if not forwarders:
        seams.events.emit(AGENT_STOPPED)
