"""Keeps one plugin at work: start it, start it anew when it fails, let another version take over.

Owns the life of processes, and what becomes of work that one failed on. Must not know the journal
(`seams.Feed`), sockets (`channel`), the sandbox (`running`) or the loop of work (`session`).

    no-inputs ──tags fit──▶ starting ──ready──▶ running ──any error──▶ waiting ──circuit──▶ starting

What it was at when it failed is tried again by the next process, window by window; a window on
which it fails again is given up, with a Gap. At a swap the new version is started beside the old
one; when it is ready, the old one ends what it has, and the new one goes on behind it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from forebay.errors import ForebayError, JournalError, PluginError, PluginUnavailable
from forebay.events import (
    PLUGIN_CIRCUIT_OPENED,
    PLUGIN_FAILED,
    PLUGIN_PASSED,
    PLUGIN_REFUSED,
    PLUGIN_STARTED,
    PLUGIN_SWAP_FAILED,
    PLUGIN_SWAPPED,
    PLUGIN_UNCONFINED,
)
from forebay.pluginhost import means, sandbox
from forebay.pluginhost.cells import sweep
from forebay.pluginhost.circuit import Budget, Circuit
from forebay.pluginhost.logs import PluginLog
from forebay.pluginhost.owed import Ledger
from forebay.pluginhost.running import Ground, Running, Standby
from forebay.pluginhost.session import Session, Why
from forebay.pluginhost.status import PluginStatus, State, Tally, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forebay.interfaces import Seams
    from forebay.pluginhost.sandbox import Means
    from forebay.pluginhost.seams import Feed, Input, Results, Verdict, Work
    from forebay.pluginhost.settings import Instance


class PluginHost:
    """One plugin instance.

    `run` in a task; everything else from anywhere on the same event loop.
    """

    def __init__(
        self,
        instance: Instance,
        make_feed: Callable[[Instance], Feed],
        seams: Seams,
        state_directory: Path,
        budget: Budget | None = None,
    ) -> None:
        """Run `instance` on what `make_feed` gives; its files are below `state_directory`.

        A feed takes its place in the journal at its first `next`: at a swap there are two.
        """
        self._instance, self._make_feed, self._seams = instance, make_feed, seams
        self._directory = state_directory
        self._feed = make_feed(instance)
        self._following: asyncio.Task[None] | None = None
        self._ledger = Ledger(instance.manifest.plugin.in_flight)
        self._given_up: Work | None = None
        self._circuit = Circuit(budget or Budget())
        self._tally = Tally()
        path = state_directory / "logs" / "plugin.log"
        self._log = PluginLog(path, instance.limits.log_lines_per_s, seams.clock)
        self._means: Means | None = None
        self._running: Running | None = None
        self._standby: Standby | None = None
        self._swapping: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._state: State = "starting"
        self._restart = self._stopping = False
        self._wake, self._ended = asyncio.Event(), asyncio.Event()

    @property
    def instance(self) -> Instance:
        """What runs, or is to run."""
        return self._instance

    async def run(self) -> None:
        """Keep the plugin at work until cancelled, until `stop`, or until its feed has no more.

        Leaves no process behind. Raises JournalError when the journal cannot go on.
        """
        await asyncio.to_thread(_make, self._directory / "logs")
        await asyncio.to_thread(sweep, self._directory / "state")
        self._means = await means.probe(self._instance.name)
        self._warn_if_open(self._means)
        try:
            while not self._ended.is_set():
                await self._turn(self._means)
        finally:
            await self._end()

    async def stop(self, timeout_s: float) -> None:
        """Take no more work, end what is out, within `timeout_s`; then `run` returns.

        What is not ended by then comes again after the next start.
        """
        self._stopping = True
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()

    def restart(self) -> None:
        """Have the process end what it has and start again; close the circuit."""
        self._circuit.reset()
        self._restart = True
        self._wake.set()

    def reset(self) -> None:
        """Close the circuit: what was wrong is repaired. A process that runs goes on."""
        self._circuit.reset()
        self._wake.set()

    async def swap(self, instance: Instance) -> None:
        """Let `instance`, of the same name, take over; return when it has.

        No work is lost or done twice by it. Raises PluginError if the new one does not get ready,
        PluginUnavailable also if no plugin runs or another swap is under way; the old one goes on.
        """
        if self._means is None or self._stopping or self._ended.is_set():
            raise _unswappable("the plugin host does not run", "start the gateway")
        if self._swapping is not None and not self._swapping.done():
            raise _unswappable("another swap is under way", "wait for it, then ask again")
        name = f"plugin-swap[{instance.name}]"
        self._swapping = asyncio.create_task(self._prepare(instance, self._means), name=name)
        try:
            await asyncio.shield(self._swapping)
        except PluginError as error:
            told = {"version": instance.version, "error": str(error), "hint": error.hint}
            self._seams.events.emit(PLUGIN_SWAP_FAILED, plugin=instance.name, **told)
            raise

    def printed(self, lines: int) -> tuple[int, list[str]]:
        """Give how many lines were logged since the agent started, and the last `lines` of them."""
        return self._log.printed, self._log.tail(lines)

    def status(self) -> PluginStatus:
        """Give how things stand; cheap enough for once a second."""
        waits_s = self._circuit.until_s - self._seams.clock.monotonic_s()
        held = sandbox.in_force(self._means, self._instance.limits) if self._means else ()
        return picture(
            self._instance,
            self._tally,
            self._running,
            state=self._state,
            circuit=self._circuit.state.value,
            retry_in_s=max(0.0, waits_s) if self._state == "waiting" else 0.0,
            held=held,
            dropped=self._log.dropped,
        )

    async def _turn(self, found: Means) -> None:
        """Take one step, and contain what goes wrong in it."""
        try:
            await self._settle()
            if self._standby is not None:
                await self._take_over(self._standby)
            elif self._stopping:
                self._ended.set()
            elif self._running is None:
                await self._begin(found)
            else:
                await self._serve(self._running)
        except JournalError:
            raise
        except PluginError as error:
            await self._failed(error)
        except ForebayError as error:
            await self._failed(PluginUnavailable(str(error), hint=error.hint, kind="host"))
        except Exception as error:  # noqa: BLE001 - the supervisor of one plugin: what is wrong with it must not stop the others
            what = f"its host failed: {type(error).__name__}: {error}"
            hint = "this is a defect of Forebay: report it with the agent's log"
            await self._failed(PluginUnavailable(what, hint=hint, kind="defect"), error)

    async def _begin(self, found: Means) -> None:
        """Start the plugin, or wait for what is in the way: the circuit, or a lack of inputs."""
        left_s = self._circuit.until_s - self._seams.clock.monotonic_s()
        if left_s > 0:
            self._state = "waiting"
            await self._woken(left_s)
            return
        inputs = self._feed.inputs()
        if not inputs:
            self._state = "no-inputs"
            await self._woken(None)
            return
        self._restart, self._state = False, "starting"
        self._circuit.begin()
        running = await self._start(self._instance, inputs, found)
        self._running, self._state = running, "running"

    async def _start(self, instance: Instance, inputs: Sequence[Input], found: Means) -> Running:
        """Start a process; PluginError if it does not get ready."""
        if not found.confines and instance.sandbox == "required":
            raise PluginUnavailable(
                f"bubblewrap does not work here, and the plugin requires it: {found.why}",
                hint='install it (Debian: bubblewrap), or set sandbox = "preferred"',
                kind="sandbox",
            )
        state, running = self._directory / "state", self._running
        beside = running is not None and not running.beside
        ground = Ground(found, state, self._log, self._seams.clock, beside)
        running = await Running.start(instance, ground, inputs)
        self._tally.starts += 1
        self._seams.events.emit(
            PLUGIN_STARTED,
            plugin=instance.name,
            version=instance.version,
            pid=running.pid,
            inputs=len(inputs),
            sandbox=", ".join(sandbox.in_force(found, instance.limits)),
        )
        return running

    async def _serve(self, running: Running) -> None:
        """Have `running` work until it fails, which raises, or is to end."""
        session = Session(running, self._feed, self._ledger, self._done)
        why = await session.run(self._wake, self._leave)
        if why is Why.SWAP:
            return
        self._running = None
        await running.stop(why.value)
        if why in (Why.STOP, Why.NO_MORE):
            self._ended.set()

    def _follow(self, feed: Feed) -> asyncio.Task[None]:
        task = asyncio.create_task(feed.run(), name=f"plugin-follow[{self._instance.name}]")
        task.add_done_callback(lambda _: self._wake.set())
        return task

    def _see_feed(self) -> None:
        """Raise why the feed ended, if it did; the next turn has it run again."""
        following = self._following
        if following is not None and following.done() and not following.cancelled():
            self._following = None
            following.result()

    def _leave(self) -> Why | None:
        self._see_feed()
        if self._stopping:
            return Why.STOP
        if self._standby is not None:
            return Why.SWAP
        return Why.RESTART if self._restart else None

    def _done(self, work: Work, results: Results, verdict: Verdict) -> None:
        """Count a work that is done."""
        self._circuit.worked()
        new = self._tally.done(len(work.windows), results.took_s, verdict)
        if new:
            name, reasons = self._instance.name, ", ".join(new)
            self._seams.events.emit(PLUGIN_REFUSED, plugin=name, reasons=reasons)

    async def _failed(self, error: PluginError, cause: Exception | None = None) -> None:
        """End the process, if there is one, and note what that means for its work and the next."""
        name, events = self._instance.name, self._seams.events
        running, self._running = self._running, None
        if running is not None:
            await running.kill()
        self._tally.failed(error)
        fields: dict[str, object] = {} if cause is None else {"exc_info": cause}
        events.emit(
            PLUGIN_FAILED, plugin=name, kind=error.kind, error=str(error), hint=error.hint, **fields
        )
        await self._log.note(f"{self._instance.version} {error}")
        self._given_up = self._ledger.blame(self._feed.split)
        now_s, draw = self._seams.clock.monotonic_s(), self._seams.rng.random()
        if self._circuit.failed(now_s, draw):
            events.emit(
                PLUGIN_CIRCUIT_OPENED,
                plugin=name,
                error=str(error),
                retry_in_s=round(self._circuit.until_s - now_s, 1),
            )

    async def _settle(self) -> None:
        """See that the feed follows the journal; give up the window that failed twice."""
        if self._following is None:
            self._following = self._follow(self._feed)
        self._see_feed()
        work = self._given_up
        if work is None:
            return
        await self._feed.passed(work, self._tally.last_error)
        self._given_up = None
        self._ledger.end()
        self._tally.windows_passed += len(work.windows)
        name, reason = self._instance.name, self._tally.last_error
        for _ in work.windows[1:]:
            self._seams.events.tally(PLUGIN_PASSED, plugin=name)
        self._seams.events.emit(PLUGIN_PASSED, plugin=name, error=reason)

    async def _prepare(self, instance: Instance, found: Means) -> None:
        """Start another version beside the one that runs, and wait until it has taken over."""
        feed = self._make_feed(instance)
        following = self._follow(feed)
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            inputs = _some(feed.inputs())
            running = await self._start(instance, inputs, found)
        except BaseException:
            await _let_go(feed, following)
            raise
        self._standby = Standby(running, feed, following, taken)
        self._wake.set()
        await taken

    async def _take_over(self, standby: Standby) -> None:
        """Put the version that stands by in the place of the one that ran."""
        self._standby = None
        if standby.running.lost.done():
            await standby.running.kill()
            await _let_go(standby.feed, standby.following)
            standby.taken.set_exception(standby.running.lost.result())
            return
        old, instance = self._running, standby.running.instance
        old_feed, old_following = self._feed, self._following
        self._following = standby.following
        self._running, self._feed, self._instance = standby.running, standby.feed, instance
        self._ledger, self._given_up = Ledger(instance.manifest.plugin.in_flight), None
        self._circuit.reset()
        self._restart, self._state = False, "running"
        self._seams.events.emit(PLUGIN_SWAPPED, plugin=instance.name, version=instance.version)
        if old is not None:
            name = f"plugin-retire[{instance.name}]"
            task = asyncio.create_task(old.stop(Why.SWAP.value), name=name)
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        try:
            await _let_go(old_feed, old_following)
        finally:
            standby.taken.set_result(None)

    async def _woken(self, seconds: float | None) -> None:
        """Wait for `wake` or that long; where no time is given, for other inputs."""
        name = self._instance.name
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._wake.wait(), name=f"plugin-wake[{name}]")
        ]
        if seconds is None:
            inputs = self._feed.changed.wait()
            waits.append(asyncio.create_task(inputs, name=f"plugin-inputs[{name}]"))
        else:
            pause = self._seams.clock.sleep(seconds)
            waits.append(asyncio.create_task(pause, name=f"plugin-pause[{name}]"))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        self._wake.clear()

    async def _end(self) -> None:
        """Leave nothing behind."""
        self._state = "stopped"
        self._ended.set()
        if self._swapping is not None:
            self._swapping.cancel()
            await asyncio.gather(self._swapping, return_exceptions=True)
        standby, running = self._standby, self._running
        self._standby = self._running = None
        if standby is not None:
            await standby.running.kill()
            await _let_go(standby.feed, standby.following)
        if running is not None:
            await running.kill()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await _let_go(self._feed, self._following)

    def _warn_if_open(self, found: Means) -> None:
        if not found.confines and self._instance.sandbox == "preferred":
            self._seams.events.emit(
                PLUGIN_UNCONFINED,
                plugin=self._instance.name,
                why=found.why,
                hint="install bubblewrap (Debian: bubblewrap): without it a plugin may use the "
                "network and read what the agent's user may read",
            )


def _make(directory: Path) -> None:
    with suppress(OSError):  # what is missing shows where it is needed, with its own message
        directory.mkdir(parents=True, exist_ok=True)


def _some(inputs: Sequence[Input]) -> Sequence[Input]:
    if not inputs:
        raise _unswappable("no tags fit its inputs", "check [plugins.NAME.inputs]")
    return inputs


async def _let_go(feed: Feed, following: asyncio.Task[None] | None) -> None:
    """Close a feed, and end the task that followed the journal for it."""
    await feed.close()
    if following is not None:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _unswappable(what: str, hint: str) -> PluginUnavailable:
    return PluginUnavailable(what, hint=hint, kind="swap")
