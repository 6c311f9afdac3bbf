"""What becomes of each command: once, on record first, by role, in time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay._proto import fleet_pb2 as pb
from forebay.config.limits import CommandLimits, Limits
from forebay.errors import FleetUnavailable, JournalFull
from forebay.identity import Identity
from forebay.management.commands import Commands, Tools
from forebay.management.events import FLEET_COMMAND_DROPPED
from forebay.management.orders import DAY_NS
from forebay.model import ClockState, Outcome
from forebay.writing.audit import INTENT, OUTCOME, Deed, from_batch
from forebay.writing.gate import Result
from forebay_fleet.desired.signing import Signer
from support.forwarding import make_seams
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.model import Batch
    from forebay.writing.rules import Ask

LIMITS = Limits(commands=CommandLimits(operator=("read", "write")))
KEY = Signer(ed25519.Ed25519PrivateKey.generate())
WHO = Identity("gw-1", bytes(16), "a:1", "a:2", 1, b"", b"", b"", b"", signing_keys=(KEY.public,))


class Anchors(NamedTuple):
    """What is known of the clock of a site."""

    site: Site

    @property
    def state(self) -> ClockState:
        """See `pipeline.anchors.Anchors.state`."""
        return self.site.vouched


class Site:
    """Commands of a box whose audit, gate and clock do what the test says."""

    def __init__(self, state: Path) -> None:
        self.seams, self.state = make_seams(), state
        self.audit: list[Deed] = []
        self.asks: list[tuple[Ask, float]] = []
        self.levels: list[tuple[str, float]] = []
        self.restarted: list[str] = []
        self.full = False
        self.waits = asyncio.Event()
        self.waits.set()
        self.delivered = asyncio.Event()
        self.vouched = ClockState.SYNCED
        self.commands = self.made()

    def made(self) -> Commands:
        """Give what an agent has after a start."""
        pipeline = SimpleNamespace(commit=self.commit, anchors=Anchors(self))
        writes = SimpleNamespace(deadline=2.0)
        loaded = SimpleNamespace(config=SimpleNamespace(writes=writes))
        runtime = SimpleNamespace(
            pipeline=pipeline, gate=self, loaded=loaded, restart=self.restart, again=lambda: None
        )
        level = SimpleNamespace(ask=lambda name, for_s: self.levels.append((name, for_s)))
        tools = Tools(cast("Any", level), cast("Any", self))
        return Commands(self.state, cast("Any", runtime), self.seams, tools, lambda: LIMITS)

    async def commit(self, batch: Batch) -> None:
        """See `Pipeline.commit`."""
        await self.waits.wait()
        if self.full:
            raise JournalFull("the audit is full", hint="")
        self.audit += from_batch(batch)

    async def ask(self, ask: Ask, deadline_s: float = 0.0) -> Result:
        """See `Gate.ask`."""
        self.asks.append((ask, deadline_s))
        return Result(ask.id, Outcome.GOOD, "done")

    async def restart(self, component: str) -> bool:
        """See `Runtime.restart`."""
        self.restarted.append(component)
        return component == "device sim"

    async def deliver(self, command_id: str, within_s: float) -> bytes:
        """See `Delivering.deliver`."""
        assert within_s > 0
        await self.delivered.wait()
        if command_id.startswith("b"):
            raise FleetUnavailable("the line is gone", hint="")
        return bytes(32)

    async def result(self, id_: str) -> pb.CommandResult:
        """Wait for the result of a command."""
        await until(lambda: [one for one in self.commands.results() if one.id == id_], id_, 20.0)
        return next(one for one in self.commands.results() if one.id == id_)


def made(site: Site, number: int, *, left_s: float = 60.0, **fields: Any) -> pb.Signed:
    """Give a signed command; to write, unless `fields` say otherwise."""
    now_ns = site.seams.clock.now_ns()
    command = pb.Command(
        id=fields.pop("id", f"{number:016d}"), gateway="gw-1", issuer="anna", role="operator",
        not_after_ns=now_ns + round(left_s * 1e9),
    )  # fmt: skip
    if not {"read", "write", "restart", "log_level", "bundle"} & set(fields):
        fields["write"] = pb.WriteCommand(device="press", tag="v", uint_value=7)
    command.MergeFrom(pb.Command(**fields))
    signed = KEY.sign("command", command.SerializeToString())
    return pb.Signed.FromString(signed.SerializeToString())


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    task = asyncio.create_task(site.commands.run(), name="commands")
    try:
        yield site
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(Site(tmp_path)) as made:
        yield made


async def test_intent_then_deed_then_outcome(site: Site) -> None:
    site.commands.order(made(site, 1), WHO)
    result = await site.result(f"{1:016d}")
    assert result.outcome == pb.COMMAND_DONE
    ((ask, deadline_s),) = site.asks
    assert (ask.device, ask.item, ask.values, ask.who) == ("press", "v", (7,), "fleet:anna")
    assert 0 < deadline_s <= 2.0
    await until(lambda: len(site.audit) == 2, "both are on record")
    assert [(deed.step, deed.outcome, deed.who) for deed in site.audit] == [
        (INTENT, "", "fleet:anna"), (OUTCOME, "done", "fleet:anna"),
    ]  # fmt: skip


async def test_the_same_command_is_done_once_and_told_again(site: Site) -> None:
    signed = made(site, 1)
    for _ in range(3):
        site.commands.order(signed, WHO)
    await site.result(f"{1:016d}")
    await site.commands.accepted([f"{1:016d}"])
    assert site.commands.results() == []
    site.commands.order(signed, WHO)  # its server was restored
    assert (await site.result(f"{1:016d}")).outcome == pb.COMMAND_DONE
    assert len(site.asks) == 1


async def test_what_was_begun_before_a_crash_is_unknown_and_not_done(tmp_path: Path) -> None:
    site = Site(tmp_path)
    signed = made(site, 1)
    site.waits.clear()  # it hangs in its intent
    async with running(site):
        site.commands.order(signed, WHO)
        await until(lambda: [*(tmp_path / "fleet/commands").glob("0*")], "it is begun")
    site.waits.set()
    site.commands = site.made()
    async with running(site):
        found = await site.result(f"{1:016d}")
        assert found.outcome == pb.COMMAND_UNKNOWN
        site.commands.order(signed, WHO)
        site.commands.order(made(site, 2), WHO)
        await site.result(f"{2:016d}")
        assert len(site.asks) == 1, "the second alone"


async def test_no_audit_no_command(site: Site) -> None:
    site.full = True
    site.commands.order(made(site, 1), WHO)
    found = await site.result(f"{1:016d}")
    assert (found.outcome, site.asks) == (pb.COMMAND_REFUSED, [])
    assert "audit" in found.detail


async def test_what_expires_while_the_audit_is_slow_is_not_done(site: Site) -> None:
    site.waits.clear()
    site.commands.order(made(site, 1, left_s=0.2), WHO)
    await asyncio.sleep(0)
    found = await site.result(f"{1:016d}")
    assert (found.outcome, site.asks) == (pb.COMMAND_REFUSED, [])
    site.waits.set()


@pytest.mark.parametrize(
    ("left_s", "fields", "why"),
    [
        (-1.0, {}, "expired"),
        (DAY_NS / 1e9 + 600, {}, "longer than a day"),
        (60.0, {"role": "viewer"}, "limits.toml"),
        (60.0, {"role": "root"}, "limits.toml"),
        (60.0, {"restart": pb.RestartCommand(component="device sim")}, "limits.toml"),
        (60.0, {"write": pb.WriteCommand(device="press", tag="v")}, "no value"),
    ],
)
async def test_what_is_refused(site: Site, left_s: float, fields: Any, why: str) -> None:
    site.commands.order(made(site, 1, left_s=left_s, **fields), WHO)
    found = await site.result(f"{1:016d}")
    assert found.outcome == pb.COMMAND_REFUSED
    assert why in found.detail
    assert (site.asks, site.restarted) == ([], [])


async def test_nothing_is_written_by_a_clock_that_nobody_vouches_for(site: Site) -> None:
    site.vouched = ClockState.UNSYNCED
    site.commands.order(made(site, 1), WHO)
    found = await site.result(f"{1:016d}")
    assert (found.outcome, site.asks) == (pb.COMMAND_REFUSED, [])


async def test_what_is_not_for_this_box_or_not_signed_leaves_no_trace(site: Site) -> None:
    other = Signer(ed25519.Ed25519PrivateKey.generate())
    signed = made(site, 1)
    foreign = pb.Signed.FromString(other.sign("command", signed.payload).SerializeToString())
    site.commands.order(foreign, WHO)
    site.commands.order(made(site, 2, gateway="gw-2"), WHO)
    site.commands.order(made(site, 3, id="../../etc/passwd"), WHO)
    await until(lambda: site.seams.events.count(FLEET_COMMAND_DROPPED) == 3, "all are dropped")
    assert (site.commands.results(), site.audit, site.asks) == ([], [], [])


async def test_a_bundle_on_a_slow_line_holds_nothing_up(site: Site) -> None:
    admin: dict[str, Any] = {"role": "admin"}
    site.commands.order(made(site, 1, bundle=pb.BundleCommand(), **admin), WHO)
    lost = made(site, 2, id="b" * 16, bundle=pb.BundleCommand(), **admin)
    site.commands.order(lost, WHO)
    level = pb.LogLevelCommand(level="debug", for_s=5.0)
    site.commands.order(made(site, 3, log_level=level, **admin), WHO)
    assert (await site.result(f"{3:016d}")).outcome == pb.COMMAND_DONE
    assert site.levels == [("debug", 5.0)]
    assert [one.id for one in site.commands.results()] == [f"{3:016d}"]
    site.delivered.set()
    assert (await site.result(f"{1:016d}")).bundle_sha256 == bytes(32)
    assert (await site.result("b" * 16)).outcome == pb.COMMAND_REFUSED


async def test_a_part_that_there_is_not(site: Site) -> None:
    for number, name in enumerate(("device sim", "device none"), 1):
        part = pb.RestartCommand(component=name)
        site.commands.order(made(site, number, role="admin", restart=part), WHO)
    assert (await site.result(f"{1:016d}")).outcome == pb.COMMAND_DONE
    assert (await site.result(f"{2:016d}")).outcome == pb.COMMAND_REFUSED
