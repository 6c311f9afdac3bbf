"""The box's stream to a real server: its parts are heard, it comes again, and it says what it is.

The clock is twenty times as fast.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import end
from forebay.errors import FleetUnavailable
from forebay.files import SystemDisk
from forebay.identity import IdentityStore
from forebay.management import certifying
from forebay.management.fetching import Fetching
from forebay.management.link import Link
from forebay.management.renewal import Renewal
from support.fleet_boxes import Fleet
from support.forwarding import make_seams
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from forebay.identity import Identity


class Ear:
    """A part that keeps what it says and hears; it fails as often as told."""

    def __init__(self, capabilities: int, defects: int = 0) -> None:
        self.capabilities, self.defects = capabilities, defects
        self.said = list[tuple[int, bool]]()
        self.heard = list[int]()
        self.news: Callable[[], None] = lambda: None

    def report(self, message: pb.AgentToServer, *, full: bool) -> None:
        """Keep it."""
        if self.defects:
            self.defects -= 1
            raise ZeroDivisionError
        self.said.append((message.sequence_num, full))
        message.health.status = f"said {len(self.said)}"

    async def take(self, message: pb.ServerToAgent, identity: Identity) -> None:
        """Keep it."""
        assert identity.gateway == "gw-1"
        self.heard.append(message.acked)


class Site(NamedTuple):
    """An enrolled box, and its server."""

    fleet: Fleet
    link: Link
    ear: Ear


async def enroll(fleet: Fleet, state: Path) -> None:
    """Make a box of the fleet of what is in `state`."""
    host, _, port = fleet.enrollment.partition(":")
    store = IdentityStore(state / "fleet", SystemDisk())
    await certifying.enroll(store, (host, int(port)), await fleet.token(), "gw-1")


@asynccontextmanager
async def linked(fleet: Fleet, state: Path, ear: Ear) -> AsyncIterator[Site]:
    """Run the link of a box."""
    seams = make_seams()
    renewal = Renewal(state, seams)
    link = Link(state, (ear, Ear(pb.AGENT_REPORTS_SHADOW)), renewal, Fetching(seams), seams)
    tasks = [
        asyncio.create_task(renewal.run(), name="renewal"),
        asyncio.create_task(link.run(), name="link"),
    ]
    try:
        async with asyncio.timeout(90.0):
            yield Site(fleet, link, ear)
    finally:
        await end(tasks)


async def test_a_box_that_is_not_enrolled_waits_and_comes_once_it_is(tmp_path: Path) -> None:
    state, ear = tmp_path / "state", Ear(pb.AGENT_REPORTS_HEALTH)
    with Fleet(tmp_path) as fleet:
        async with linked(fleet, state, ear) as site:
            assert site.link.connected() is None
            await enroll(fleet, state)
            await until(site.link.connected, "connected")
            await until(lambda: 1 in ear.heard, "its first report is taken")
            assert ear.said[0] == (1, True)
            before = len(ear.said)
            ear.news()
            await until(lambda: len(ear.said) > before, "the news is said")
            assert all(not full for _, full in ear.said[1:])
            numbers = [number for number, _ in ear.said]
            assert numbers == list(range(1, len(numbers) + 1))


async def test_a_server_that_comes_back_is_told_all_again(tmp_path: Path) -> None:
    state, ear = tmp_path / "state", Ear(pb.AGENT_REPORTS_HEALTH)
    with Fleet(tmp_path) as fleet:
        await enroll(fleet, state)
        async with linked(fleet, state, ear) as site:
            await until(site.link.connected, "connected")
            fleet.server.kill()
            await until(lambda: site.link.connected() is False, "not connected")
            standing = site.link.standing
            assert standing.error
            assert standing.hint
            assert standing.next_try_s is not None
            before = len(ear.said)
            fleet.server.start()
            await until(site.link.connected, "connected")
            await until(lambda: (1, True) in ear.said[before:], "all is said")
            assert site.link.standing.error == ""


async def test_what_writer_and_reader_end_of_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both end of the same cause; asyncio prints a traceback of an error that nobody asked for."""
    state, loop = tmp_path / "state", asyncio.get_running_loop()
    unasked: list[str] = []
    loop.set_exception_handler(lambda _, context: unasked.append(str(context)))

    async def write(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise FleetUnavailable("the same", hint="once is enough") from None

    monkeypatch.setattr(Link, "_write", write)
    with Fleet(tmp_path) as fleet:
        await enroll(fleet, state)
        fleet.server.kill()
        async with linked(fleet, state, Ear(pb.AGENT_REPORTS_HEALTH)) as site:
            await until(lambda: site.link.standing.next_try_s, "a try has failed")
    gc.collect()
    assert unasked == []
    assert site.link.standing.error.endswith("cannot be reached: connection refused")


@pytest.mark.parametrize("defects", [1, 3])
async def test_a_part_with_a_defect_costs_a_stream_and_not_the_link(
    tmp_path: Path, defects: int
) -> None:
    state, ear = tmp_path / "state", Ear(pb.AGENT_REPORTS_HEALTH, defects)
    with Fleet(tmp_path) as fleet:
        await enroll(fleet, state)
        async with linked(fleet, state, ear) as site:
            await until(
                lambda: "ZeroDivisionError" in site.link.standing.error, "the defect is told"
            )
            await until(site.link.connected, "connected")
            await until(lambda: 1 in ear.heard, "its first report is taken")
            assert ear.defects == 0
            assert ear.said[0] == (1, True)


async def test_who_is_shut_out_is_told_so_and_let_in_again(tmp_path: Path) -> None:
    state, ear = tmp_path / "state", Ear(pb.AGENT_REPORTS_HEALTH)
    with Fleet(tmp_path) as fleet:
        await enroll(fleet, state)
        async with linked(fleet, state, ear) as site:
            await until(site.link.connected, "connected")
            await fleet.ask("gateways", "revoke", "gw-1", "--reason", "sold")
            await until(lambda: site.link.connected() is False, "not connected")
            assert "revoked" in site.link.standing.error or "sold" in site.link.standing.error
            await fleet.ask("gateways", "unlock", "gw-1")
            await until(site.link.connected, "connected")
