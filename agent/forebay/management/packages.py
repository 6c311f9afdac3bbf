"""What a desired state needs beside its files: plugins, models, another agent.

    vouched for by people ──▶ fetched, as far as it has not come yet ──▶ unpacked under its version

Owns `STATE/fleet/downloads`, and the versions that it puts beside the installed ones; which of
them runs, the configuration says. An agent goes to the slots. Must not know the network.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from forebay import __version__
from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import through
from forebay.config.plugins import MODELS, read_manifest
from forebay.errors import FleetRefused, FleetUnavailable, RequestFailed, RequestInvalid
from forebay.identity import FOLDER
from forebay.management.needed import needed
from forebay.management.offers import StateRefused
from forebay.management.vouching import TYPES, Metadata, Vouched, Vouching, is_name
from forebay.pluginhost import unpack
from forebay.pluginhost.installed import MARK, Installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay.errors import Fault, ForebayError
    from forebay.identity import Identity
    from forebay.interfaces import Seams

DOWNLOADS = "downloads"
ROOM = 4
"""How many times a package's size must be free on the disk."""
KEPT = 8
"""Versions of one plugin or model that stay, beside those that a configuration on disk names."""
MAX_PACKAGES = 256
_TYPES = {
    "plugin": pb.PACKAGE_PLUGIN,
    "model": pb.PACKAGE_MODEL,
    "agent": pb.PACKAGE_AGENT,
}


class Source(Metadata, Protocol):
    """Where packages and what vouches for them are to be had."""

    async def to_file(self, sha256: bytes, size_bytes: int, path: Path) -> None:
        """Bring a content to `path`, going on with what is there. Raises FleetError."""
        ...


class AgentUpdates(Protocol):
    """Where another version of the agent goes."""

    async def offer(self, version: str, archive: Path, offer_id: str) -> None:
        """Have it begin on trial; the agent stops soon. Raises RequestInvalid, RequestFailed."""
        ...

    async def settled(self) -> bool:
        """Whether no version is on trial."""
        ...


class AgentLeaves(RequestFailed):
    """The agent stops for another version, which will be told the same state again."""


@dataclass(frozen=True, slots=True)
class _Stands:
    """How far one package is."""

    package: Vouched
    phase: pb.ConfigPhase
    error: str = ""
    running: str = ""


class Packages:
    """Of one agent: a `parts.Part`."""

    capabilities = pb.AGENT_ACCEPTS_PACKAGES

    def __init__(
        self,
        state: Path,
        updates: AgentUpdates,
        seams: Seams,
        most_bytes: Callable[[], int],
    ) -> None:
        """Touch nothing; `most_bytes` gives how large one package may be."""
        self._state, self._updates, self._seams = state, updates, seams
        self._most_bytes = most_bytes
        self._vouching = Vouching(state / FOLDER, seams.disk)
        self._stands: dict[str, _Stands] = {}
        self._before = b""
        self.files: Callable[[], tuple[Path, ...]] = tuple
        """Gives the main files of configurations that lie elsewhere than among the generations."""
        self.trying: Callable[[], bool] = bool
        """Gives whether a configuration is being tried."""
        self.news: Callable[[], None] = _nobody
        """See `Part.news`."""

    # --- the stream -------------------------------------------------------------------------------

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """See `Part.report`."""
        told = pb.PackageStatuses(packages=[self._told(one) for one in self._stands.values()])
        now = told.SerializeToString(deterministic=True)
        if full or now != self._before:
            message.packages.CopyFrom(told)
            self._before = now

    async def take(self, message: pb.ServerToAgent, identity: Identity) -> None:
        """See `Part.take`: what is needed comes with a desired state."""

    def _told(self, one: _Stands) -> pb.PackageStatus:
        came = one.package.size_bytes
        if one.phase == pb.PHASE_RECEIVED:
            came = 0
            for path in (self._download(one.package), self._part(one.package)):
                with suppress(OSError):
                    came = max(came, path.stat().st_size)
        return pb.PackageStatus(
            name=one.package.name,
            type=_TYPES[one.package.type],
            running_version=one.running,
            desired_version=one.package.version,
            phase=one.phase,
            error=one.error[:500],
            downloaded_bytes=came,
            size_bytes=one.package.size_bytes,
        )

    # --- what a state needs -----------------------------------------------------------------------

    async def ready(
        self, state: pb.DesiredState, identity: Identity, source: Source, now_ns: int
    ) -> None:
        """Have everything there that `state` names; nothing of it runs by that.

        Raises:
            StateRefused: people have not signed it so, or it cannot be taken.
            FleetUnavailable, RequestFailed: it did not come, or the disk does not take it.
            AgentLeaves: an agent of another version begins soon.
        """
        if not state.packages:
            self._stands.clear()
            await asyncio.to_thread(self._clear, set())
            self._enough(state)
            return
        if len(state.packages) > MAX_PACKAGES:
            raise _no(state, f"it names more than {MAX_PACKAGES} packages", "name fewer")
        if await asyncio.to_thread(self._all_there, state):
            # People vouched for them when they came: what has ended since undoes nothing.
            self._stands = {f"{one.type}/{one.name}": _came(one) for one in _as_named(state)}
            await asyncio.to_thread(self._clear, set())
            await self._enough_now(state)
            return
        if any(one.type == pb.PACKAGE_AGENT for one in state.packages):
            self._rests()  # it is asked for again soon: nothing is fetched each time
        try:
            found = await self._vouching.vouched(state.packages, identity, source, now_ns)
            self._stands = {f"{one.type}/{one.name}": _stands(one) for one in found}
            await asyncio.to_thread(self._clear, {self._download(one).name for one in found})
            for one in sorted(found, key=lambda one: one.type == "agent"):
                await self._one(one, state, source)
        except (FleetRefused, RequestInvalid) as error:
            if isinstance(error, StateRefused):
                raise
            raise _no(state, str(error), error.hint) from error
        await self._enough_now(state)

    async def _enough_now(self, state: pb.DesiredState) -> None:
        """Let a state's files begin only under an agent that suffices and has proved itself."""
        self._enough(state)
        if not await self._updates.settled():
            # Else the trial of one would be judged by what the other does.
            raise AgentLeaves(
                "the agent is on trial", hint="then this state counts; by hand, apply it again"
            )

    def _all_there(self, state: pb.DesiredState) -> bool:
        """Whether every package came before, by these hashes, and the agent is the one named."""
        return all(
            one.type and is_name(one.name, one.version) and self._there(one)
            for one in _as_named(state)
        )

    def _enough(self, state: pb.DesiredState) -> None:
        """Refuse a state for agents that are newer."""
        if not state.min_agent:
            return
        least = order(state.min_agent)
        if not least:
            text = f"the version of the agent that it needs is none: {state.min_agent[:32]!r}"
            raise _no(state, text, "write it as 1.2.0")
        if order(__version__) < least:
            text = f"it needs an agent of version {state.min_agent[:32]}, this is {__version__}"
            raise _no(state, text, "push the agent too: forebay-fleet push --agent VERSION")

    async def _one(self, one: Vouched, state: pb.DesiredState, source: Source) -> None:
        """Have one package there, and say how far it is."""
        key = f"{one.type}/{one.name}"
        try:
            there = await asyncio.to_thread(self._there, one)
            if not there:
                await self._fetch(one, source)
                self._say(key, pb.PHASE_STAGED)
                await self._put(one, state)
            self._say(key, pb.PHASE_COMMITTED)
        except (FleetRefused, FleetUnavailable, RequestInvalid, RequestFailed) as error:
            if not isinstance(error, AgentLeaves):
                self._say(key, pb.PHASE_FAILED, error)
            raise

    async def _put(self, one: Vouched, state: pb.DesiredState) -> None:
        """Put what was fetched where it belongs. Raises AgentLeaves if that is a slot."""
        if one.type != "agent":
            await through(asyncio.to_thread(self._install, one), "packages.install")
            return
        self._rests()
        await self._updates.offer(one.version, self._download(one), state.offer_id)
        text = f"version {one.version} begins on trial"
        raise AgentLeaves(text, hint="then this state counts; by hand, apply it again")

    def _rests(self) -> None:
        """Raise AgentLeaves while a configuration is being tried.

        It would go on under another version, and be judged by what that does.
        """
        if self.trying():
            raise AgentLeaves("a configuration is on trial", hint="the other version comes then")

    def _say(self, key: str, phase: pb.ConfigPhase, error: ForebayError | None = None) -> None:
        before = self._stands[key]
        running = before.package.version if phase == pb.PHASE_COMMITTED else before.running
        self._stands[key] = replace(before, phase=phase, error=str(error or ""), running=running)
        self.news()

    async def _fetch(self, one: Vouched, source: Source) -> None:
        """Bring the archive, as far as it is not there."""
        most = self._most_bytes()
        if one.size_bytes > most:
            text = f"{one.name} has {one.size_bytes >> 20} MiB, more than {most >> 20} MiB"
            raise RequestInvalid(text, hint="raise `package_size` in limits.toml")
        path = self._download(one)
        await asyncio.to_thread(self._room, one)
        if not path.exists():
            await source.to_file(one.sha256, one.size_bytes, path)

    def _room(self, one: Vouched) -> None:
        for leftover in self._home(one).parent.glob(".*.new"):  # of what was killed
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            folder = self._state / FOLDER / DOWNLOADS
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise RequestFailed(str(error.strerror), hint="check the disk") from error
        if free < ROOM * one.size_bytes:
            need = ROOM * one.size_bytes >> 20
            text = f"{one.name} needs {need} MiB beside what is there, {free >> 20} MiB are free"
            raise RequestFailed(text, hint="make room under the state directory")

    def _there(self, one: Vouched) -> bool:
        """Whether this very package is here already."""
        if one.type == "agent":
            return one.version == __version__
        try:
            return (self._home(one) / MARK).read_text("ascii") == one.sha256.hex()
        except (OSError, ValueError):
            return False

    def _install(self, one: Vouched) -> None:
        """Unpack an archive under its version; a cut leaves nothing of that name."""
        home = self._home(one)
        fresh = home.with_name(f".{one.version}.new")
        try:
            kept = needed(self._state, self.files())
            if home.exists() and not (home / MARK).exists():
                text = f"{one.name} {one.version} was installed by hand"
                raise RequestInvalid(text, hint="remove it there, or push another version")
            if home.exists() and home in kept:
                # Else the way back would lead to what this archive holds.
                text = f"{one.name} {one.version} is in use, and was another archive when it came"
                raise RequestInvalid(text, hint="sign what is new under another version")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            try:
                unpack.take(self._download(one), fresh)
                if one.type == "plugin":
                    _is(fresh, one)
            except RequestInvalid as error:
                text = f"{one.type} {one.name} {one.version}: {error}"
                raise RequestInvalid(text, hint=error.hint) from error
            (fresh / MARK).write_text(one.sha256.hex(), "ascii")
            os.sync()  # all of it, before it has a name
            shutil.rmtree(home, ignore_errors=True)
            fresh.rename(home)
            self._seams.disk.sync_dir(home.parent)  # before anything on disk names it
            _forget_oldest(home, kept)
            self._download(one).unlink(missing_ok=True)
        except OSError as error:
            text = f"{one.name} cannot be unpacked: {error.strerror or error}"
            raise RequestFailed(text, hint="check the disk under the state directory") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _clear(self, wanted: set[str]) -> None:
        """Forget what was fetched for other states."""
        with suppress(OSError):
            for path in (self._state / FOLDER / DOWNLOADS).iterdir():
                if path.name.partition(".")[0] not in wanted:
                    path.unlink()

    def _home(self, one: Vouched) -> Path:
        if one.type == "plugin":
            return Installed(self._state).home / one.name / one.version
        return self._state / MODELS / one.name / one.version

    def _download(self, one: Vouched) -> Path:
        return self._state / FOLDER / DOWNLOADS / one.sha256.hex()

    def _part(self, one: Vouched) -> Path:
        path = self._download(one)
        return path.with_name(path.name + ".part")


def order(version: str) -> tuple[int, ...]:
    """Give what versions are ordered by: the numbers that they begin with, 1.2 as 1.2.0."""
    found = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    return tuple(parts + [0] * (6 - len(parts))) if parts else ()


def _is(folder: Path, one: Vouched) -> None:
    """See that an archive holds the plugin that it was signed as."""
    faults: list[Fault] = []
    manifest = read_manifest(folder, one.name, faults)
    if manifest is None:
        raise RequestInvalid(str(faults[0]), hint=faults[0].hint)
    named = (manifest.plugin.name, manifest.plugin.version)
    if named != (one.name, one.version):
        text = f"the archive holds {' '.join(named)}, and was signed as {one.name} {one.version}"
        raise RequestInvalid(text, hint="sign it under its own name and version")


def _forget_oldest(home: Path, kept: set[Path]) -> None:
    """Let go of the oldest versions beside `home` that came by the fleet and nobody needs."""
    came = [path for path in home.parent.iterdir() if (path / MARK).exists()]
    in_use = (home.parent / "current").resolve()
    for path in sorted(came, key=lambda one: one.stat().st_mtime_ns, reverse=True)[KEPT:]:
        if path not in (home, in_use, *kept):
            shutil.rmtree(path, ignore_errors=True)


def _stands(package: Vouched) -> _Stands:
    return _Stands(package, pb.PHASE_RECEIVED)


def _came(package: Vouched) -> _Stands:
    return _Stands(package, pb.PHASE_COMMITTED, running=package.version)


def _as_named(state: pb.DesiredState) -> list[Vouched]:
    """Give the packages as a state names them; nobody has vouched for that by itself."""
    return [
        Vouched(one.name, TYPES.get(one.type, ""), one.version, one.sha256, 0)
        for one in state.packages
    ]


def _no(state: pb.DesiredState, text: str, hint: str) -> StateRefused:
    return StateRefused(text, hint=hint, code="packages", state=state)


def _nobody() -> None:
    """Tell nobody."""
