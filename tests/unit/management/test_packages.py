"""What a state needs beside its files, on a box whose server gives what a test says."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetRefused, FleetUnavailable, RequestFailed
from forebay.files import SystemDisk
from forebay.management.offers import StateRefused
from forebay.management.packages import KEPT, AgentLeaves, Packages, order
from forebay.pluginhost.installed import MARK
from support.fleet_packages import echo
from support.packages import Signers
from support.seams import system_seams

if TYPE_CHECKING:
    from pathlib import Path


class Owner:
    """What the box knows of its enrollment."""

    instance_uid = b"\1" * 16

    def __init__(self, root: bytes) -> None:
        self.root = root


class Updates:
    """Where another agent would go."""

    def __init__(self) -> None:
        self.offered: list[tuple[str, str]] = []
        self.on_trial = False

    async def offer(self, version: str, archive: Path, offer_id: str) -> None:
        self.offered.append((version, offer_id))

    async def settled(self) -> bool:
        return not self.on_trial


class Site:
    """One box and one server, which may be away."""

    def __init__(self, tmp_path: Path) -> None:
        self.signers = Signers(tmp_path / "people", tmp_path / "data")
        self.folder, self.state = tmp_path, tmp_path / "state"
        self.updates, self.most_bytes = Updates(), 1 << 20
        self.packages = Packages(self.state, self.updates, system_seams(), lambda: self.most_bytes)
        self.away, self.fetched = False, 0

    async def metadata(self, name: str, max_bytes: int) -> bytes:
        if self.away:
            raise FleetUnavailable("away", hint="")
        found = self.signers.published.metadata(name)
        if found is None or len(found) > max_bytes:
            raise FleetRefused("there is none", hint="", code="unknown")
        return found

    async def to_file(self, sha256: bytes, size_bytes: int, path: Path) -> None:
        self.fetched += 1
        data = self.signers.published.target(sha256).read_bytes()
        assert len(data) == size_bytes
        await asyncio.to_thread(path.write_bytes, data)

    def add(self, version: str, type_: str = "plugin", name: str = "echo") -> pb.Package:
        made = echo(self.folder / f"{type_}{version}.tar.gz", version)
        self.signers.add(made, type_, name, version)
        path = f"{type_}/{name}/{version}"
        one = next(a for a in self.signers.published.artifacts() if a.path == path)
        kind = {"plugin": pb.PACKAGE_PLUGIN, "model": pb.PACKAGE_MODEL, "agent": pb.PACKAGE_AGENT}
        return pb.Package(
            name=name, type=kind[type_], version=version, target=path, sha256=one.sha256
        )

    async def ready(self, *packages: pb.Package, **more: Any) -> None:
        wanted = pb.DesiredState(packages=packages, offer_id="offer", **more)
        owner = cast("Any", Owner(self.signers.published.root()))
        await self.packages.ready(wanted, owner, self, time.time_ns())

    def told(self) -> list[tuple[str, int, str]]:
        message = pb.AgentToServer()
        self.packages.report(message, full=True)
        return [(one.name, one.phase, one.error) for one in message.packages.packages]

    @property
    def plugins(self) -> Path:
        return self.state / "plugins/installed/echo"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_versions_lie_side_by_side_and_are_fetched_once(site: Site) -> None:
    one, two = site.add("1"), site.add("2")
    model = site.add("3", "model", "bearing")
    await site.ready(one, model)
    await site.ready(two)
    await site.ready(one)
    assert site.fetched == 3
    assert (site.plugins / "1/plugin.toml").exists()
    assert (site.plugins / "2/plugin.toml").exists()
    assert (site.state / "models/bearing/3/plugin.toml").exists()
    assert not (site.plugins / "current").exists(), "what runs, the configuration says"
    assert site.told() == [("echo", pb.PHASE_COMMITTED, "")]
    assert not list((site.state / "fleet/downloads").iterdir())


async def test_what_is_there_needs_nobody_to_vouch_again(site: Site) -> None:
    one = site.add("1")
    await site.ready(one)
    site.away = True
    await site.ready(one)
    with pytest.raises(FleetUnavailable):
        await site.ready(site.add("2"))
    (site.plugins / "1" / MARK).write_text("other")
    with pytest.raises(FleetUnavailable):
        await site.ready(one)


async def test_another_package_is_refused_and_told(site: Site) -> None:
    one = site.add("1")
    one.sha256 = b"\0" * 32
    with pytest.raises(StateRefused, match="signed as something else") as caught:
        await site.ready(one)
    assert caught.value.code == "packages"
    assert not site.plugins.exists()


async def test_what_is_too_large_or_finds_no_room_is_not_fetched(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = site.add("1")
    site.most_bytes = 10
    with pytest.raises(StateRefused, match="more than 0 MiB"):
        await site.ready(one)
    assert site.told()[0][1] == pb.PHASE_FAILED
    site.most_bytes = 1 << 20
    monkeypatch.setattr("forebay.management.packages.ROOM", 1 << 50)
    with pytest.raises(RequestFailed, match="are free"):
        await site.ready(one)
    assert site.fetched == 0


async def test_what_was_installed_by_hand_under_the_version_stays(site: Site) -> None:
    one = site.add("1")
    (site.plugins / "1").mkdir(parents=True)
    with pytest.raises(StateRefused, match="installed by hand"):
        await site.ready(one)
    assert list((site.plugins / "1").iterdir()) == []


async def test_an_archive_that_holds_another_plugin_is_refused(site: Site) -> None:
    made = echo(site.folder / "x.tar.gz", "7")
    site.signers.add(made, "plugin", "echo", "8")
    one = next(iter(site.signers.published.artifacts()))
    wrong = pb.Package(
        name="echo", type=pb.PACKAGE_PLUGIN, version="8", target=one.path, sha256=one.sha256
    )
    with pytest.raises(StateRefused, match="holds echo 7"):
        await site.ready(wrong)
    assert not (site.plugins / "8").exists()


async def test_an_agent_comes_last_and_its_state_waits(site: Site) -> None:
    agent, one = site.add("9.0", "agent", "forebay"), site.add("1")
    with pytest.raises(AgentLeaves):
        await site.ready(agent, one)
    assert site.updates.offered == [("9.0", "offer")]
    assert (site.plugins / "1").exists()
    site.updates.on_trial = True
    with pytest.raises(AgentLeaves, match="on trial"):
        await site.ready(one)


async def test_an_agent_that_is_too_old_begins_with_nothing(site: Site) -> None:
    await site.ready(min_agent="0.0.9")
    with pytest.raises(StateRefused, match="needs an agent of version 99"):
        await site.ready(min_agent="99.0")


def test_versions_are_ordered_by_their_numbers() -> None:
    found = sorted(["0.10", "0.9.1", "1.0rc1", "0.9", ""], key=order)
    assert found == ["", "0.9", "0.9.1", "0.10", "1.0rc1"]


def running(site: Site, generation: int, text: str) -> None:
    folder = site.state / f"config/gen-{generation}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "forebay.toml").write_text(text)


async def test_what_a_configuration_names_stays_however_many_come_after_it(site: Site) -> None:
    running(site, 4, '[plugins.watch]\nplugin = "echo"\nversion = "0"\n')
    running(site, 5, '[plugins.other]\nplugin = "other"\nmodel_package = "bearing@1"\n')
    mine = site.folder / "forebay.toml"
    mine.write_text("")
    (site.folder / "conf.d").mkdir()
    beside = site.folder / "conf.d/watch.toml"
    beside.write_text('[plugins.watch]\nplugin = "echo"\nversion = "1"\n')
    site.packages.files = lambda: (mine, site.folder / "gone.toml")
    await site.ready(*(site.add(version) for version in "012"), site.add("1", "model", "bearing"))
    for count in range(KEPT + 1):
        await site.ready(site.add(f"9.{count}"))
    await site.ready(site.add("9", "model", "bearing"))
    assert (site.plugins / "0/plugin.toml").exists(), "it runs, or is gone back to"
    assert (site.plugins / "1/plugin.toml").exists(), "a person's file names it"
    assert not (site.plugins / "2").exists()
    assert (site.state / "models/bearing/1").exists()


async def test_what_is_in_use_does_not_become_another_under_its_name(site: Site) -> None:
    one = site.add("1")
    await site.ready(one)
    running(site, 1, '[plugins.watch]\nplugin = "echo"\nversion = "1"\n')
    (site.plugins / "1" / MARK).write_text("ab" * 32)  # as if that had come, signed by people then
    with pytest.raises(StateRefused, match="in use, and was another archive"):
        await site.ready(one)
    assert (site.plugins / "1" / MARK).read_text() == "ab" * 32
    running(site, 1, "")
    await site.ready(one)
    assert (site.plugins / "1" / MARK).read_text() == one.sha256.hex()


async def test_an_agent_waits_for_a_configuration_that_is_being_tried(site: Site) -> None:
    agent, trying = site.add("9.0", "agent", "forebay"), True
    site.packages.trying = lambda: trying
    with pytest.raises(AgentLeaves, match="a configuration is on trial"):
        await site.ready(agent)
    assert not site.updates.offered
    assert site.fetched == 0
    trying = False
    with pytest.raises(AgentLeaves, match="begins on trial"):
        await site.ready(agent)
    assert site.updates.offered == [("9.0", "offer")]


async def test_an_archive_of_an_agent_does_not_stay_when_it_runs(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = site.add("9.0", "agent", "forebay")
    with pytest.raises(AgentLeaves):
        await site.ready(agent)
    downloads = site.state / "fleet/downloads"
    assert list(downloads.iterdir())
    monkeypatch.setattr("forebay.management.packages.__version__", "9.0")
    await site.ready(agent)
    assert not list(downloads.iterdir())


async def test_a_least_agent_that_cannot_be_read_is_not_passed_over(site: Site) -> None:
    for wrong in ("v99.0", "newest", " 99"):
        with pytest.raises(StateRefused, match="is none"):
            await site.ready(min_agent=wrong)
    assert order("0.2") == order("0.2.0")


async def test_a_version_has_its_name_durably_before_anything_names_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable: list[list[str]] = []
    sync = SystemDisk.sync_dir

    def noted(disk: SystemDisk, path: Path) -> None:
        durable.append(sorted(one.name for one in path.iterdir()))
        sync(disk, path)

    monkeypatch.setattr(SystemDisk, "sync_dir", noted)
    await site.ready(site.add("1"))
    assert ["1"] in durable


async def test_what_a_kill_left_half_unpacked_goes(site: Site) -> None:
    left = site.plugins / ".0.new/much"
    left.mkdir(parents=True)
    await site.ready(site.add("1"))
    assert [one.name for one in site.plugins.iterdir()] == ["1"]
