"""Fault 41: metadata of packages that are replayed, expired, mixed, or signed by too few.

A server that has been taken over gives whatever it likes; the box believes what people signed.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetError, FleetRefused
from forebay.files import SystemDisk
from forebay.management.vouching import Vouching, is_name
from forebay_fleet.artifacts import keys
from forebay_fleet.errors import UsageError
from support.packages import DAY_S, YEAR_S, Signers, archive

if TYPE_CHECKING:
    from pathlib import Path


class Owner(NamedTuple):
    """What the box knows of its enrollment."""

    root: bytes
    instance_uid: bytes = b"\1" * 16


class Server:
    """Gives what lies in a data directory, honest or not; and the box that asks it."""

    def __init__(self, tmp_path: Path) -> None:
        self.signers = Signers(tmp_path / "people", tmp_path / "data")
        self.metadata_folder = self.signers.published.home / "metadata"
        self.box = tmp_path / "box"
        self.tmp_path = tmp_path
        self.now_ns = time.time_ns()
        self.add("1")
        self.owner = Owner(self.signers.published.root())

    def add(self, version: str) -> None:
        made = archive(self.tmp_path / f"{version}.tar.gz", {"version": version.encode()})
        self.signers.add(made, "plugin", "echo", version)

    async def metadata(self, name: str, max_bytes: int) -> bytes:
        found = self.signers.published.metadata(name)
        if found is None or len(found) > max_bytes:
            raise FleetRefused("there is none", hint="", code="unknown")
        return found

    def package(self, version: str, /, **other: Any) -> pb.Package:
        one = next(a for a in self.signers.published.artifacts() if a.version == version)
        made = pb.Package(
            name=one.name, type=pb.PACKAGE_PLUGIN, version=one.version, target=one.path
        )
        made.sha256 = one.sha256
        for name, value in other.items():
            setattr(made, name, value)
        return made

    async def ask(self, *packages: pb.Package) -> list[Any]:
        asked = packages or (self.package("1"),)
        return await Vouching(self.box, SystemDisk()).vouched(asked, self.owner, self, self.now_ns)  # type: ignore[arg-type]

    def sign_online(self, metadata: Metadata[Any], name: str) -> None:
        """Sign as the server can, who has the key of snapshot and timestamp."""
        metadata.signatures.clear()
        metadata.sign(keys.signer(self.signers.published.home / "online.key", None))
        (self.metadata_folder / name).write_bytes(metadata.to_bytes())

    def newest(self, kind: str) -> Metadata[Any]:
        if kind == "timestamp":
            return Metadata.from_bytes((self.metadata_folder / "timestamp.json").read_bytes())
        found = self.metadata_folder.glob(f"*.{kind}.json")
        path = max(found, key=lambda path: int(path.name.split(".")[0]))
        return Metadata.from_bytes(path.read_bytes())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


async def refused(server: Server, code: str, *packages: pb.Package) -> str:
    with pytest.raises(FleetError) as caught:
        await server.ask(*packages)
    assert isinstance(caught.value, FleetRefused)
    assert caught.value.code == code, caught.value
    assert caught.value.hint
    return str(caught.value)


async def test_what_two_people_signed_is_believed(server: Server) -> None:
    (found,) = await server.ask()
    assert (found.name, found.type, found.version) == ("echo", "plugin", "1")
    server.add("2")
    assert [one.version for one in await server.ask(server.package("2"), server.package("1"))] == [
        "2",
        "1",
    ]


async def test_older_metadata_are_a_replay(server: Server, tmp_path: Path) -> None:
    shutil.copytree(server.metadata_folder, tmp_path / "old")
    server.add("2")
    await server.ask(server.package("2"))
    first = server.package("1")
    shutil.rmtree(server.metadata_folder)
    shutil.copytree(tmp_path / "old", server.metadata_folder)
    await refused(server, "metadata", first)
    # Nor does a server with the online key get old targets in by a new snapshot.
    snapshot = server.newest("snapshot")
    snapshot.signed.version = 900_000_090
    server.sign_online(snapshot, "900000090.snapshot.json")
    timestamp = server.newest("timestamp")
    timestamp.signed.version = 900_000_091
    timestamp.signed.snapshot_meta = MetaFile(version=900_000_090)
    server.sign_online(timestamp, "timestamp.json")
    await refused(server, "metadata", first)


@pytest.mark.parametrize("later_s", [2 * DAY_S, 8 * DAY_S, 2 * YEAR_S])
async def test_expired_metadata_change_nothing(server: Server, later_s: float) -> None:
    server.now_ns += round(later_s * 1e9)
    assert "expired" in await refused(server, "metadata")


async def test_what_the_server_signs_in_place_of_people_is_refused(server: Server) -> None:
    targets = server.newest("targets")
    targets.signed.version += 1
    server.sign_online(targets, f"{targets.signed.version}.targets.json")
    snapshot = Metadata(
        Snapshot(
            version=900_000_050,
            expires=datetime.now(UTC) + timedelta(days=5),
            meta={"targets.json": MetaFile(version=targets.signed.version)},
        )
    )
    server.sign_online(snapshot, "900000050.snapshot.json")
    timestamp = Metadata(
        Timestamp(
            version=900_000_050,
            expires=datetime.now(UTC) + timedelta(days=1),
            snapshot_meta=MetaFile(version=900_000_050),
        )
    )
    server.sign_online(timestamp, "timestamp.json")
    assert "signed by" in await refused(server, "metadata")


async def test_one_signature_of_two_is_not_published_and_not_believed(server: Server) -> None:
    targets = server.newest("targets")
    targets.signatures.pop(next(iter(targets.signatures)))
    name = f"{targets.signed.version}.targets.json"
    (server.metadata_folder / name).write_bytes(targets.to_bytes())
    await refused(server, "metadata")


async def test_another_root_than_that_of_the_enrollment_is_refused(
    server: Server, tmp_path: Path
) -> None:
    await server.ask()
    other = Signers(tmp_path / "others", tmp_path / "elsewhere")
    made = archive(tmp_path / "evil.tar.gz", {"evil": b"x"})
    other.add(made, "plugin", "echo", "1")
    server.signers = other
    server.owner = Owner(other.published.root())  # as its next certificate would say
    await refused(server, "metadata")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sha256": b"\0" * 32}, "mixed"),
        ({"version": "7"}, "mixed"),
        ({"name": "other"}, "mixed"),
        ({"type": pb.PACKAGE_AGENT}, "mixed"),
        ({"type": 77}, "mixed"),
        ({"target": "plugin/none/1"}, "unsigned"),
        ({"target": "../../etc/passwd"}, "unsigned"),
    ],
)
async def test_a_state_that_names_something_else_is_refused(
    server: Server, change: dict[str, Any], code: str
) -> None:
    await refused(server, code, server.package("1", **change))


async def test_without_a_root_nothing_is_believed(server: Server) -> None:
    server.owner = Owner(b"")
    await refused(server, "root")


async def test_people_change_and_boxes_follow_by_the_chain(server: Server, tmp_path: Path) -> None:
    await server.ask()
    signers = server.signers
    third = tmp_path / "third.pem"
    keys.make(third, None)
    kept = signers.people[0]
    public = [keys.public(path.with_name(path.name + ".pub")) for path in (kept, third)]
    signers.repository.init(public, signers.published.online(), 2, YEAR_S)
    for path in (kept, signers.people[1], third):
        signers.repository.sign(keys.signer(path, None))
    signers.published.publish(signers.repository)
    (found,) = await server.ask()
    assert found.version == "1"
    signers.people = [kept, third]
    server.add("2")
    assert (await server.ask(server.package("2")))[0].version == "2"


class Watched(SystemDisk):
    """Remembers what was made durable."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write_atomic(self, path: Path, data: bytes) -> None:
        super().write_atomic(path, data)
        self.written.append(path.name)


async def test_the_root_of_the_enrollment_is_durable_before_it_counts(server: Server) -> None:
    """An empty file, as a power cut makes one of a name without its bytes, would end packages."""
    home, disk = server.box / "tuf" / server.owner.instance_uid.hex(), Watched()
    asked = (server.package("1"),)
    await Vouching(server.box, disk).vouched(asked, server.owner, server, server.now_ns)  # type: ignore[arg-type]
    assert disk.written == ["first.json"]
    (home / "first.json").write_bytes(b"")
    assert await server.ask()
    assert (home / "first.json").read_bytes() == server.owner.root


async def test_who_gives_up_leaves_nobody_that_asks_on(server: Server) -> None:
    """Else two would write among one box's metadata, and the older might come last."""
    waiting, given_up = asyncio.Event(), asyncio.Event()

    class Silent:
        async def metadata(self, name: str, max_bytes: int) -> bytes:
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()
            return b""

    vouching = Vouching(server.box, SystemDisk())
    asking = asyncio.create_task(
        vouching.vouched((server.package("1"),), server.owner, Silent(), server.now_ns),  # type: ignore[arg-type]
        name="asking",
    )
    await waiting.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    assert asking.cancelled()
    assert given_up.is_set()
    assert not [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    assert await server.ask()


def test_no_version_is_called_as_the_link_beside_it() -> None:
    assert is_name("echo", "1.0")
    assert not is_name("echo", "current")


async def test_a_server_that_was_restored_from_a_backup_is_believed_at_once(
    server: Server, tmp_path: Path
) -> None:
    """Boxes have seen what it signed after the backup; it does not know that any more."""
    shutil.copytree(server.metadata_folder, tmp_path / "backup")
    for _ in range(5):
        server.signers.published.publish(server.signers.repository)  # each signs anew
    await server.ask()
    shutil.rmtree(server.metadata_folder)
    shutil.copytree(tmp_path / "backup", server.metadata_folder)
    late = datetime.now(UTC) + timedelta(minutes=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forebay_fleet.artifacts.published._now", lambda: late)
        server.signers.published.publish(server.signers.repository)
    (found,) = await server.ask()
    assert found.version == "1"


async def test_what_is_carried_is_not_what_the_line_gives(server: Server) -> None:
    """A kill while a bundle is made must not leave boxes with what is good for a month."""
    until_ns = server.now_ns + round(30 * DAY_S * 1e9)
    given: list[int] = []
    published = server.signers.published
    write = published._write  # noqa: SLF001 - what it writes is what boxes get

    def noted(name: str, data: bytes) -> None:
        ends = Metadata[Any].from_bytes(data).signed.expires
        given.append(round((ends - datetime.now(UTC)).total_seconds()))
        write(name, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "_write", noted)
        carried = published.carried(until_ns)
    assert len(given) == 2
    assert max(given) <= 7 * DAY_S
    ends = Metadata[Any].from_bytes(carried["timestamp.json"]).signed
    assert ends.expires.timestamp() == until_ns // 10**9
    line = server.newest("timestamp").signed
    assert line.version > ends.version
    assert line.snapshot_meta.version > ends.snapshot_meta.version
    assert {name.partition(".")[2] for name in carried} == {
        "root.json",
        "targets.json",
        "snapshot.json",
        "json",
    }


async def test_who_begins_twice_before_the_first_is_published_is_believed(
    tmp_path: Path,
) -> None:
    """A slip of the hand: another key was meant."""
    signers = Signers(tmp_path / "people", tmp_path / "data")
    public = [keys.public(path.with_name(path.name + ".pub")) for path in signers.people]
    signers.repository.init(public, signers.published.online(), 2, YEAR_S)
    made = archive(tmp_path / "1.tar.gz", {"x": b"1"})
    signers.add(made, "plugin", "echo", "1")
    assert signers.published.root(), "boxes have something to begin with"
    for _ in range(2):  # the same again, once boxes trust the first
        signers.repository.init(public, signers.published.online(), 2, YEAR_S)
    signers.sign()
    signers.published.publish(signers.repository)
    assert signers.published.metadata("2.root.json")
    assert signers.published.metadata("3.root.json") is None
    with pytest.raises(UsageError, match="cannot be"):
        signers.repository.add(made, "plugin", "echo", "current", YEAR_S)
