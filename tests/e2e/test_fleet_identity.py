"""Enrollment as people do it: before or after the agent's start, again, for a replaced box.

And what disturbs it: answers that are lost, guessed tokens, another authority under way.
"""

from __future__ import annotations

import asyncio
import errno
import random
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forebay._proto import fleet_pb2
from forebay.errors import FleetError, FleetUnavailable, IdentityUnusable
from forebay.files import SystemDisk
from forebay.identity import FOLDER, IDENTITY, PENDING, IdentityStore
from forebay.management import asking, certifying
from forebay.management.events import IDENTITY_RECOVERED
from forebay.management.renewal import Renewal
from forebay.testing.disk import FaultyDisk
from forebay_fleet import certificates
from forebay_fleet.certificates import load_authority
from forebay_fleet.identity import tokens
from forebay_fleet.identity.throttle import BACK_EVERY_S, FAILURES
from support.boxes import new_key
from support.fleet_boxes import Box, Fleet, command
from support.forwarding import HurryingClock, make_seams
from support.handmade import resigned
from support.processes import BIN, until

pytestmark = pytest.mark.e2e


async def test_an_agent_that_runs_takes_up_its_enrollment(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            checked = await command(
                BIN / "forebay", "check", box.config, FOREBAY_STATE=str(box.state)
            )
            assert checked.code == 0
            assert "not enrolled yet (forebay fleet enroll" in checked.out
            assert (await box.forebay("fleet", "status")).code == 1
            await box.agent.start()
            waiting = await box.until_uplink("waiting", lambda u: u["last_error"])
            assert "forebay fleet enroll" in waiting["last_hint"]
            token = await fleet.token("--for", "10min", "--gateway", "gw-1")
            done = await box.enroll("", FOREBAY_JOIN_TOKEN=token)
            assert done.code == 2  # `--token -` goes before the variable
            done = await box.forebay(
                *("fleet", "enroll", "--server", fleet.enrollment, "--config", str(box.config)),
                FOREBAY_JOIN_TOKEN=token,
            )
            assert done.code == 0, done
            assert done.document()["generation"] == 1
            await box.until_uplink("connected")
            status = (await box.forebay("fleet", "status")).document()
            assert (status["gateway"], status["valid"]) == ("gw-1", True)
            (row,) = await fleet.ask("token", "list")
            assert (row["state"], row["used_by"]) == ("used", "gw-1")
            for secret in (token, token.removeprefix(tokens.PREFIX)[:20]):
                assert secret not in box.agent.text() + fleet.server.log.read_text()
            assert not (box.state / "fleet" / PENDING).exists()


class FullDisk(SystemDisk):
    """Has no room for an identity, until `room` is set."""

    room = False

    def rename(self, source: Path, target: Path) -> None:
        """Refuse the identity."""
        if target.name == IDENTITY and not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().rename(source, target)


async def test_an_answer_that_was_lost_is_had_again(tmp_path: Path) -> None:
    """Enrolled at the server, and not here: the same token serves this box, and no other."""
    with Fleet(tmp_path) as fleet:
        token, disk = await fleet.token(), FullDisk()
        host, _, port = fleet.enrollment.partition(":")
        store = IdentityStore(tmp_path / "state" / "fleet", disk)
        with pytest.raises(IdentityUnusable, match="No space left"):
            await certifying.enroll(store, (host, int(port)), token, "gw-1")
        assert store.current() is None
        assert (await fleet.identity("gw-1"))["generation"] == 1
        assert (await Box(fleet, "another").enroll(token)).code == 1
        disk.room = True
        identity = await certifying.enroll(store, (host, int(port)), token, "gw-1")
        assert (identity.generation, store.pending()) == (1, None)
        # And so with a renewal: asked for again with the same key, it is no clone.
        disk.room = False
        with pytest.raises(IdentityUnusable):
            await certifying.renew(store, identity)
        assert (await fleet.identity("gw-1"))["generation"] == 2
        disk.room = True
        assert (await certifying.renew(store, identity)).generation == 2
        assert (await fleet.identity("gw-1"))["state"] == "active"


async def test_the_power_goes_at_every_step_of_a_renewal(tmp_path: Path) -> None:
    """Whatever is left on the disk, the box asks again, and is never taken for its own clone."""
    folder, rng = Path("/state/fleet"), random.Random(3)
    with Fleet(tmp_path) as fleet:
        host, _, port = fleet.enrollment.partition(":")
        disk, at, cuts, asked_again = FaultyDisk(), 0, 0, 0
        token = await fleet.token()
        await certifying.enroll(IdentityStore(folder, disk), (host, int(port)), token, "gw-1")
        while True:
            store = IdentityStore(folder, disk)
            before = store.current()
            assert before is not None
            disk.cut_after(at)
            try:
                await certifying.renew(store, before)
                break  # no step is left at which it could go
            except IdentityUnusable:
                at, cuts = at + 1, cuts + 1
            disk = disk.reboot(rng)
            after = IdentityStore(folder, disk).current()
            assert after is not None
            known = await fleet.identity("gw-1")
            assert known["state"] == "active"
            assert known["generation"] - after.generation in (0, 1)
            asked_again += known["generation"] > after.generation
            renewed = await certifying.renew(IdentityStore(folder, disk), after)
            # What it had asked for before the cut it gets, and no other.
            assert renewed.generation == max(known["generation"], after.generation + 1)
        assert cuts > 8
        assert asked_again


async def test_a_replaced_box(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "old") as old, Box(fleet, "new") as new:
            assert (await old.enroll(await fleet.token())).code == 0
            await old.agent.start()
            await old.until_uplink("connected")
            known = await new.enroll(await fleet.token())
            assert known.code == 1
            assert "--replace" in known.document()["error"]["hint"]
            token = await fleet.token("--gateway", "gw-1", "--replace")
            assert (await new.enroll(token)).code == 0
            gone = await old.until_uplink("waiting", lambda u: "taken over" in u["last_error"])
            assert "id of its own" in gone["last_hint"]
            await old.agent.stop()
            await new.agent.start()
            await new.until_uplink("connected")
            assert new.identity.generation == 2
            assert new.identity.instance_uid != old.identity.instance_uid


async def test_who_guesses_tokens_is_not_listened_to(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        good = await fleet.token()
        pin = asking.read_token(good).pin
        authority = (fleet.pki / "ca.crt").read_bytes()

        async def guess(number: int) -> str:
            token = tokens.write(bytes([number]) * 20, pin)
            request = fleet_pb2.EnrollRequest(
                token=token, gateway="gw-1", csr=new_key("gw-1").csr, bound_key=bytes(32)
            )
            with pytest.raises(FleetError) as found:
                await asking.enroll(fleet.enrollment, authority, request)
            if isinstance(found.value, FleetUnavailable):
                assert found.value.wait_s is not None
                assert 0 < found.value.wait_s <= BACK_EVERY_S
                return "busy"
            assert str(found.value).startswith("the token is not good")
            return "no"

        said = [await guess(number) for number in range(3 * FAILURES)]
        assert said[:FAILURES] == ["no"] * FAILURES
        assert said.count("busy") > FAILURES
        async with Box(fleet, "box") as box:
            while (ended := await box.enroll(good)).code:  # it may ask again before long
                assert "too many failures" in ended.document()["error"]["message"]


@pytest.mark.long
async def test_another_authority_under_way(tmp_path: Path) -> None:
    with Fleet(tmp_path, valid_for="16s") as fleet:
        rotate = ("ca", "rotate", str(fleet.pki))
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            first = box.identity.authorities
            assert (await fleet.ask(*rotate))["done"] == "made"
            early = await fleet.ask(*rotate, "--switch", good=False)
            assert early == {"done": "refused", "not_ready": ["gw-1"]}
            await until(lambda: box.identity.authorities != first, "the box has both")
            both = box.identity.authorities
            assert first in both
            assert (await fleet.ask(*rotate, "--switch"))["done"] == "switched"
            for name in ("server.crt", "server.key"):
                (fleet.pki / name).unlink()
            certificates.issue_server(fleet.pki, fleet.pki, ["127.0.0.1"], 1)
            generation = box.identity.generation
            await until(
                lambda: box.identity.generation > generation, "a certificate of the new one"
            )
            assert (await fleet.ask(*rotate, "--finish"))["done"] == "finished"
            await until(lambda: first not in box.identity.authorities, "the old one is forgotten")
            await box.until_uplink("connected")
            assert not box.told("identity_refused")
            context = ssl.create_default_context(cadata=box.identity.authorities.decode())
            assert context.cert_store_stats()["x509_ca"] == 1
        async with Box(fleet, "new", "gw-2") as new:  # tokens name the one that signs now
            assert (await new.enroll(await fleet.token("--gateway", "gw-2"))).code == 0


class WrongClock(HurryingClock):
    """A clock that somebody has set wrong."""

    def __init__(self, ahead_s: float) -> None:
        super().__init__(20)
        self._ahead_ns = round(ahead_s * 1e9)

    def now_ns(self) -> int:
        """Give the wrong time."""
        return super().now_ns() + self._ahead_ns


@pytest.mark.parametrize("days", [-20, 20, 40, 27_000])
async def test_a_clock_that_is_wrong_spends_no_recovery_and_renews_once(
    tmp_path: Path, days: int
) -> None:
    """By this clock it is not valid yet, old, or has expired; by the server's it is good."""
    with Fleet(tmp_path) as fleet:
        host, _, port = fleet.enrollment.partition(":")
        seams = make_seams(WrongClock(days * 86_400.0))
        store = IdentityStore(tmp_path / "state" / FOLDER, seams.disk)
        await certifying.enroll(store, (host, int(port)), await fleet.token(), "gw-1")
        renewal = Renewal(tmp_path / "state", seams)
        running = asyncio.create_task(renewal.run(), name="renewal")
        try:
            await until(lambda: renewal.identity and renewal.identity.generation > 1, "it renews")
            began_s = seams.clock.monotonic_s()
            await until(lambda: seams.clock.monotonic_s() - began_s > 30.0, "half a minute passes")
        finally:
            running.cancel()
            await asyncio.wait([running])
        known = await fleet.identity("gw-1")
        assert (known["generation"], known["recoveries"]) == (2, 0)
        assert seams.events.count(IDENTITY_RECOVERED) == 0


async def test_what_a_server_signed_whose_clock_was_a_century_ahead_is_replaced(
    tmp_path: Path,
) -> None:
    """No server takes it before the year 2100: the bound key gets another."""
    with Fleet(tmp_path) as fleet:
        host, _, port = fleet.enrollment.partition(":")
        seams = make_seams()
        store = IdentityStore(tmp_path / "state" / FOLDER, seams.disk)
        identity = await certifying.enroll(store, (host, int(port)), await fleet.token(), "gw-1")
        begin = datetime(2100, 1, 1, tzinfo=UTC)
        signed = resigned(load_authority(fleet.pki), identity.certificate, begin)
        store.replace(replace(identity, certificate=signed))
        renewal = Renewal(tmp_path / "state", seams)
        running = asyncio.create_task(renewal.run(), name="renewal")
        try:
            await until(lambda: seams.events.count(IDENTITY_RECOVERED), "it recovers")
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert (await fleet.identity("gw-1"))["generation"] == 2
