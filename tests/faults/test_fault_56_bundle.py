"""Fault 56: a bundle that is old, foreign, changed, cut off or too large runs nothing."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from forebay.errors import ForebayError, RequestFailed, RequestInvalid
from forebay.identity import FOLDER
from forebay.management import bundles, carrying
from forebay.management.carrying import Carrying
from forebay.management.desired import Desired
from forebay.management.packages import AgentLeaves, Packages
from forebay.model import ClockState
from forebay_fleet._proto import fleet_pb2
from forebay_fleet.artifacts import choosing
from forebay_fleet.artifacts.published import Published
from forebay_fleet.carried import bundle
from forebay_fleet.desired import states
from forebay_fleet.desired.states import Offer
from forebay_fleet.registry import Registry
from support.carried import Hall, Isle
from support.fleet_packages import echo
from support.packages import NoPackages, Signers
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.config.attempts import Rolling
    from forebay.management.runtime import Runtime

DAY_S = 86_400
FILES = {"forebay.toml": b'[gateway]\nid = "gw-1"\n', "conf.d/meter.toml": b"[devices.meter]\n"}


class Tried:
    """Takes offers as the rollout does, and keeps what they are made of."""

    def __init__(self) -> None:
        self.offers: list[tuple[Any, dict[str, bytes]]] = []

    async def offer(self, offer: Any) -> int:
        """See `Rolling.offer`."""
        self.offers.append(
            (offer, {one.path: await offer.content(one.sha256) for one in offer.files})
        )
        return len(self.offers)


class Person:
    """Somebody at the box who carries bundles to it."""

    def __init__(
        self, isle: Isle, clock: ClockState = ClockState.SYNCED, needs: Any = None
    ) -> None:
        self.tried = Tried()
        runtime = SimpleNamespace(
            pipeline=SimpleNamespace(anchors=SimpleNamespace(state=clock)),
            journal=None,
        )
        self.seams = system_seams()
        given = cast("Runtime", runtime), self.seams
        state = isle.folder / "state"
        desired = Desired(state, cast("Rolling", self.tried), needs or NoPackages(), *given)
        self.carrying = Carrying(state, desired, *given)

    async def look(self, data: bytes, size: int | None = None) -> Any:
        """Hand a bundle in."""

        async def parts() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]

        return await self.carrying.look(len(data) if size is None else size, parts())

    async def apply(self, data: bytes) -> Any:
        """Hand it in, and confirm what was shown."""
        return await self.carrying.take((await self.look(data)).digest, "uid:0")


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path / "fleet")


@pytest.fixture
def isle(tmp_path: Path, hall: Hall) -> Isle:
    return Isle(tmp_path / "box", hall)


def made(hall: Hall, gateway: str = "gw-1", *, days: float = 30, **more: bytes) -> bytes:
    """Push and give the bundle of it."""
    now_ns = time.time_ns()
    contents = FILES | {f"{name}.csv": data for name, data in more.items()}
    offer = Offer("somebody", "a test", now_ns, now_ns + round(days * DAY_S * 1e9))
    path = hall.data / "made.bundle"
    with Registry(hall.data) as registry:
        states.prepare(registry)
        states.push(registry, hall.signer, gateway, contents, offer)
        bundle.make(registry, Published(path.parent), gateway, path)
    return path.read_bytes()


def entries(data: bytes) -> dict[str, bytes]:
    """Give what is in a bundle."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: cast("Any", tar.extractfile(one)).read() for one in tar}


def packed(contents: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Give a tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(data), kind
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


async def test_a_bundle_is_shown_then_tried_as_it_was_made(isle: Isle, hall: Hall) -> None:
    person, data = Person(isle), made(hall)
    looked = await person.look(data)
    assert not person.tried.offers, "a look runs nothing"
    assert (looked.gateway, looked.issuer, looked.reason) == ("gw-1", "somebody", "a test")
    assert looked.files == ("conf.d/meter.toml", "forebay.toml")
    assert not looked.known
    taken = await person.carrying.take(looked.digest, "uid:0")
    ((offer, contents),) = person.tried.offers
    assert taken.attempt == 1
    assert (offer.source, offer.who, contents) == ("usb", "uid:0", FILES)
    assert offer.expires_s is not None
    assert (await person.look(data)).known


async def test_an_older_bundle_is_refused_whoever_brought_the_newer_one(
    isle: Isle, hall: Hall
) -> None:
    person, old, new = Person(isle), made(hall), made(hall, meter=b"x")
    await person.apply(new)
    for again in (person, Person(isle)):  # and after a restart
        with pytest.raises(RequestInvalid, match="replay"):
            await again.look(old)
        assert not (isle.folder / "state" / "fleet" / carrying.FILE).exists(), "it needs no room"
    assert len(person.tried.offers) == 1


async def test_a_bundle_for_another_box_or_of_another_server_is_refused(
    isle: Isle, hall: Hall, tmp_path: Path
) -> None:
    Isle(tmp_path / "second", hall, "gw-2")
    with pytest.raises(RequestInvalid, match="it is for 'gw-2'"):
        await Person(isle).apply(made(hall, "gw-2"))
    other = Hall(tmp_path / "other")
    Isle(tmp_path / "third", other)
    with pytest.raises(RequestInvalid, match="no key that this box knows"):
        await Person(isle).apply(made(other))


async def test_an_expired_bundle_is_refused(isle: Isle, hall: Hall) -> None:
    data = made(hall, days=-1)
    with pytest.raises(RequestInvalid, match="expired"):
        await Person(isle).apply(data)


async def test_whoever_confirms_confirms_what_was_shown(isle: Isle, hall: Hall) -> None:
    """Another bundle is handed in between the look and the yes."""
    person, first, second = Person(isle), made(hall), made(hall, meter=b"x")
    looked = await person.look(first)
    await person.look(second)
    with pytest.raises(RequestInvalid, match="another bundle"):
        await person.carrying.take(looked.digest, "uid:0")
    assert not person.tried.offers


async def test_what_a_killed_agent_was_handed_goes_with_the_next_start(
    isle: Isle, hall: Hall
) -> None:
    """Between the look and the yes: nobody can confirm it any more."""
    kept = isle.folder / "state" / "fleet" / carrying.FILE
    await Person(isle).look(made(hall))
    assert kept.exists()
    person = Person(isle)
    await person.carrying.begin()
    assert not kept.exists()
    looked = await person.look(made(hall))
    await person.carrying.begin()  # one that came while the agent was starting stays
    await person.carrying.take(looked.digest, "uid:0")
    assert len(person.tried.offers) == 1


async def test_each_byte_of_a_bundle_counts(isle: Isle, hall: Hall) -> None:
    """A changed bundle is refused, or what was changed says nothing: padding."""
    data = made(hall)
    whole = entries(data)
    for at in range(0, len(data), 37):
        person, changed = Person(isle), data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :]
        try:
            await person.apply(changed)
        except ForebayError:
            assert not person.tried.offers
        else:
            assert entries(changed) == whole
            assert person.tried.offers[0][1] == FILES


async def test_a_bundle_that_is_cut_off_or_lacks_something_is_refused(
    isle: Isle, hall: Hall
) -> None:
    data, person = made(hall), Person(isle)
    for cut in range(0, len(data) - tarfile.BLOCKSIZE * 20, 256):
        with pytest.raises(ForebayError):
            await person.apply(data[:cut])
    with pytest.raises(RequestInvalid, match="did not come whole"):
        await person.look(data[:-10], size=len(data))
    with pytest.raises(RequestInvalid, match="larger than it was"):
        await person.look(data, size=len(data) - 10)
    for name in entries(data):
        with pytest.raises(ForebayError):
            await person.apply(packed({k: v for k, v in entries(data).items() if k != name}))
    assert not person.tried.offers
    seen = isle.folder / "state" / "fleet" / "seen.json"
    assert not seen.exists(), "what lacks a content was not seen: the whole one can still come"


@pytest.mark.parametrize(
    "name", ["../seen.json", "/etc/passwd", "contents/x", "contents/../state", "state/x", "é"]
)
async def test_a_bundle_names_no_path_of_this_machine(isle: Isle, hall: Hall, name: str) -> None:
    data = packed(entries(made(hall)) | {name: b"x"})
    with pytest.raises(RequestInvalid):
        await Person(isle).apply(data)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.XHDTYPE]
)
async def test_a_bundle_holds_plain_files_only(isle: Isle, hall: Hall, kind: bytes) -> None:
    whole = entries(made(hall))
    extra = packed({"contents/" + "a" * 64: b""}, kind)
    with pytest.raises(RequestInvalid, match="what no bundle does"):
        await Person(isle).apply(extra[: tarfile.BLOCKSIZE] + packed(whole))


async def test_a_bundle_that_is_too_large_is_refused_before_it_is_taken(
    isle: Isle, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, data = Person(isle), made(hall)
    with pytest.raises(RequestInvalid, match="at most"):
        await person.look(data, size=bundles.MAX_BYTES + 1)
    monkeypatch.setattr(carrying, "SPARE_BYTES", 1 << 60)
    with pytest.raises(RequestFailed, match="no room"):
        await person.look(data)
    assert not (isle.folder / "state" / "fleet" / carrying.FILE).exists()


async def test_a_state_that_is_huge_is_not_read(isle: Isle) -> None:
    state = fleet_pb2.Signed(kind=states.KIND, payload=bytes(2 << 20)).SerializeToString()
    with pytest.raises(RequestInvalid, match="what no bundle does"):
        await Person(isle).apply(packed({"state": state}))


async def test_a_box_whose_clock_nobody_vouches_for_takes_a_bundle(isle: Isle, hall: Hall) -> None:
    person = Person(isle, ClockState.UNSYNCED)
    assert (await person.apply(made(hall))).attempt == 1
    assert person.tried.offers[0][0].expires_s is None


async def test_packages_come_by_hand_vouched_for_as_by_the_line(
    isle: Isle, hall: Hall, tmp_path: Path
) -> None:
    """The state ends in a month; what vouches for packages is good as long, and no longer."""
    signers = Signers(tmp_path / "people", hall.data)
    signers.add(echo(tmp_path / "echo.tar.gz", "1"), "plugin", "echo", "1")
    isle.identify(root=signers.published.root())
    (artifact,) = signers.published.artifacts()
    now_ns, path = time.time_ns(), tmp_path / "made.bundle"
    toml = FILES["forebay.toml"] + b'[plugins.watch]\nplugin = "echo"\nversion = "1"\n'
    contents = {"forebay.toml": toml}
    packages = tuple(choosing.chosen(contents, [artifact])[0])
    offer = Offer("somebody", "a test", now_ns, now_ns + 30 * DAY_S * 10**9, packages)
    with Registry(hall.data) as registry:
        states.prepare(registry)
        states.push(registry, hall.signer, "gw-1", contents, offer)
        told = bundle.make(registry, signers.published, "gw-1", path)
    assert told.packages == ("echo 1",)

    state = isle.folder / "state"
    needs = Packages(state, cast("Any", Settled()), system_seams(), lambda: 1 << 20)
    person, data = Person(isle, needs=needs), path.read_bytes()
    inside = entries(data)
    for name in inside:
        if not name.startswith(("contents/", "state")) and not name.endswith("1.root.json"):
            lacks = {other: one for other, one in inside.items() if other != name}
            with pytest.raises(ForebayError):
                await person.apply(packed(lacks))
            shutil.rmtree(state / FOLDER / "tuf")  # what was seen once need not come again
    assert not person.tried.offers
    assert await person.apply(data)
    assert (state / "plugins/installed/echo/1/plugin.toml").exists()
    assert not (state / FOLDER / carrying.FILE).exists()
    assert person.tried.offers[0][1] == contents


async def test_a_bundle_for_which_another_agent_begins_takes_no_room_any_more(
    isle: Isle, hall: Hall
) -> None:
    person = Person(isle, needs=Leaving())
    with pytest.raises(AgentLeaves, match="begins on trial"):
        await person.apply(made(hall))
    assert not (isle.folder / "state" / FOLDER / carrying.FILE).exists()


class Leaving:
    """Another version of the agent begins."""

    async def ready(self, *_: object) -> None:
        """See `Packages.ready`."""
        raise AgentLeaves("it begins on trial", hint="apply it again")


class Settled:
    """No other agent is on trial."""

    async def settled(self) -> bool:
        """See `AgentUpdates.settled`."""
        return True
