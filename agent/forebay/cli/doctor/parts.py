"""How devices, uplinks and plugins do: what the running agent says; where none runs, a try of ours.

Owns that a device is not spoken to while an agent holds its only connection. What is wrong with a
device is said by its driver's own error. Must not know any protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from forebay.acquisition.line import SharedLine
from forebay.cli.doctor.finding import FAULT, OK, WARNING, Finding
from forebay.cli.doctor.paths import can_make_in
from forebay.cli.doctor.reach import Secured, reach
from forebay.errors import ControlError, DeviceError, ForebayError
from forebay.interfaces import IdentifyingDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Iterator
    from pathlib import Path

    from forebay.config.devices import Device
    from forebay.config.load import LoadedConfig, LoadedUplink
    from forebay.control.client import AgentClient
    from forebay.interfaces import Seams

CONNECT_S = 10.0
AT_ONCE = 16
"""Devices that are tried at a time."""


def told(agent: AgentClient) -> Iterator[Finding]:
    """Give what a running agent says of itself and its parts."""
    status = agent.status()
    yield Finding(OK, "agent", "", f"{status.gateway} runs, forebay {status.version}")
    yield from _configuration(agent)
    parts = list(_parts(agent))
    yield from parts
    levels = {(one.check, one.about): one.level for one in parts}
    for problem in status.problems:
        finding = _problem(problem, levels)
        if levels.get((finding.check, finding.about)) in (None, OK):  # else it was said by its part
            yield finding


def _configuration(agent: AgentClient) -> Iterator[Finding]:
    with contextlib.suppress(ControlError):  # one that tries no configurations has but its file
        running = agent.config()
        if running.file_differs:
            text = f"{running.file} is not what runs: generation {running.running_generation} does"
            hint = "`forebay config diff` shows how, `forebay config apply FILE` has it run"
            yield Finding(WARNING, "configuration", "", text, hint)


def _parts(agent: AgentClient) -> Iterator[Finding]:
    for device in agent.devices().devices:
        if device.state != "disabled":
            yield _of("device", device, device.last_error, device.last_hint)
    for uplink in agent.uplinks().uplinks:
        if uplink.state != "disabled":
            yield _of("uplink", uplink, uplink.last_error, uplink.last_hint)
    for plugin in agent.plugins().plugins:
        if plugin.last_error and plugin.state != "running":
            yield Finding(FAULT, "plugin", plugin.name, plugin.last_error, plugin.last_hint)
        else:
            yield Finding(OK, "plugin", plugin.name, plugin.state)


def _problem(problem: str, parts: Container[tuple[str, str]]) -> Finding:
    """Read a line of `forebay status`: KIND NAME: TEXT (NEXT STEP) of a part, else the agent's."""
    check, about, text = "agent", "", problem
    whose, colon, rest = problem.partition(": ")
    kind, _, name = whose.partition(" ")
    if colon and (kind, name) in parts:
        check, about, text = kind, name, rest
    said, opens, hint = text.rpartition(" (")
    if opens and hint.endswith(")"):
        return Finding(WARNING, check, about, said, hint[:-1])
    return Finding(WARNING, check, about, text, "forebay status, and forebay log")


def _of(check: str, one: Any, error: str, hint: str) -> Finding:  # noqa: ANN401 - two kinds of status
    if one.state == "connected":
        return Finding(OK, check, one.name, "connected")
    if one.state == "connecting" and not error:
        return Finding(WARNING, check, one.name, "is being connected", "ask again in a moment")
    return Finding(FAULT, check, one.name, error or one.state, hint)


async def tried(loaded: LoadedConfig, seams: Seams) -> AsyncIterator[Finding]:
    """Try every enabled device and uplink of a configuration, several at a time."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def in_turn(work: Any) -> Finding:  # noqa: ANN401 - a coroutine
        async with turn:
            found: Finding = await work
            return found

    jobs = [_device(one, seams) for one in loaded.devices if one.spec.settings.enabled]
    jobs += [_uplink(one, loaded.state) for one in loaded.uplinks if one.settings.enabled]
    for done in asyncio.as_completed([in_turn(job) for job in jobs]):
        yield await done


async def _device(device: Device, seams: Seams) -> Finding:
    spec, settings = device.driver, device.spec.settings
    name = device.spec.name
    for endpoint in spec.reaches(settings) if spec.reaches is not None else ():
        away = await reach(endpoint)
        if away is not None:
            return Finding(FAULT, "device", name, away.text, away.hint)
    line = SharedLine(spec.line(settings) or name, seams.clock)
    driver = spec.build(device.spec, seams, line)
    try:
        async with asyncio.timeout(CONNECT_S):
            await driver.connect()
            who = await driver.identify() if isinstance(driver, IdentifyingDriver) else {}
    except DeviceError as error:
        return Finding(FAULT, "device", name, str(error), error.hint)
    except TimeoutError:
        text = f"no answer to {settings.protocol} in {CONNECT_S:g} s"
        return Finding(FAULT, "device", name, text, "is it the right port, and the right device?")
    finally:
        with contextlib.suppress(ForebayError):
            await driver.close()
    said = ", ".join(str(text) for text in who.values())[:200]
    text = f"answers to {settings.protocol}" + (f", and is {said}" if said else "")
    return Finding(OK, "device", name, text)


async def _uplink(uplink: LoadedUplink, state: Path) -> Finding:
    spec = uplink.spec
    secured: Secured | None = None
    try:
        ends = spec.secured(uplink.settings, state) if spec.secured is not None else None
        secured = None if ends is None else Secured(*ends)
    except ForebayError as error:
        return Finding(FAULT, "uplink", uplink.name, str(error), error.hint)
    except (OSError, UnicodeDecodeError) as error:
        hint = "is it there, may this user read it, is it PEM?"
        return Finding(FAULT, "uplink", uplink.name, f"ca cannot be read: {error}", hint)
    for endpoint in spec.reaches(uplink.settings) if spec.reaches is not None else ():
        away = await reach(endpoint, secured)
        if away is not None:
            return Finding(FAULT, "uplink", uplink.name, away.text, away.hint)
    if spec.writes is not None:
        return _writable(uplink.name, spec.writes(uplink.settings))
    return Finding(OK, "uplink", uplink.name, "can be reached")


def _writable(name: str, directory: Path) -> Finding:
    if can_make_in(directory):
        return Finding(OK, "uplink", name, f"{directory} can be written")
    hint = "is it mounted, and may this user write there? sudo -u forebay forebay doctor"
    return Finding(FAULT, "uplink", name, f"{directory} cannot be written", hint)
