"""`forebay doctor`: of each fault the first line names it, and the next step is there."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
import pty
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any

import pytest

from forebay.cli import doctor
from forebay.cli.doctor import paths
from forebay.cli.doctor.finding import CHECKS
from forebay.clock import Reading, SystemClock
from forebay.config import places
from forebay.control import address
from forebay.control.server import ControlServer
from forebay.files import SystemDisk
from forebay.identity import FOLDER, Identity, IdentityStore
from forebay.testing.disk import FaultyDisk
from support.certificates import Authority, Pair
from support.commands import forebay
from support.journal import DIRECTORY
from support.processes import free_port
from support.real_journal import fill
from support.scripted_agent import ScriptedAgent
from support.scripted_rolling import ScriptedRolling
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from forebay.cli.doctor.finding import Finding
    from forebay.files import SystemFile

DEVICE = """
[devices.press]
protocol = "{protocol}"
{more}
timeout = "300 ms"
tags = [{{ name = "a", address = "{address}", type = "uint16" }}]
"""
UPLINK = """
[uplinks.cloud]
kind = "grpc"
address = "127.0.0.1:{port}"
{tls}
"""
DAY = dt.timedelta(days=1)


class Site:
    """A box without an agent: its configuration, its state, and what the machine is like."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.config = folder / "forebay.toml"
        self.seams = replace(system_seams(), clock=Clock())
        self.state.mkdir()
        self.write()

    def write(self, *tables: str) -> None:
        journal = f'[journal]\ndirectory = "{self.state}/journal"\n'
        text = '[gateway]\nid = "gw-1"\n' + journal + "".join(tables)
        self.config.write_text(text, "utf-8")

    def device(self, more: str, protocol: str = "modbus", address: str = "holding:0") -> None:
        self.write(DEVICE.format(more=more, protocol=protocol, address=address))

    def found(self) -> list[Finding]:
        return doctor.examined(self.config, self.folder / "none.sock", self.seams)

    def first(self) -> Finding:
        return self.found()[0]


class Clock(SystemClock):
    """The machine's, kept right; or it says `wall_ns`."""

    wall_ns = 0

    def read(self) -> Reading:
        found = super().read()._replace(synced=True, error_ns=1_000_000)
        return found._replace(wall_ns=self.wall_ns) if self.wall_ns else found


class Failing(SystemDisk):
    """A disk whose files cannot be written."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def open(
        self, path: Path, *, create: bool = False, write: bool = False, private: bool = False
    ) -> SystemFile:
        del path, create, write, private
        raise OSError(self._number, os.strerror(self._number))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setenv("FOREBAY_STATE", str(made.state))
    return made


def says(found: Finding, check: str, text: str) -> None:
    assert found.level == "fault"
    assert found.check == check, found
    assert text in found.text, found
    assert found.hint
    assert found.page == f"docs/guides/doctor.md#{check}"


# --- the box itself


def test_where_nothing_else_is_wrong_no_agent_is_the_fault(site: Site) -> None:
    fault, *others = site.found()
    says(fault, "agent", "none runs")
    others = [one for one in others if "how worn" not in one.text]  # a matter of this machine
    assert {one.level for one in others} == {"ok"}
    assert {one.check for one in others} == {"configuration", "clock", "disk", "state", "journal"}


def test_a_configuration_with_a_fault(site: Site) -> None:
    site.write("[log]\nlevle = 'info'\n")
    says(site.first(), "configuration", "log.levle")
    site.config.unlink()
    says(site.first(), "configuration", "does not exist")


def test_a_clock_that_begins_in_1970(site: Site) -> None:
    clock = Clock()
    clock.wall_ns = 86_400 * 10**9
    site.seams = replace(site.seams, clock=clock)
    says(site.first(), "clock", "1970-01-02")


@pytest.mark.parametrize(
    ("number", "text"), [(errno.ENOSPC, "is full"), (errno.EROFS, "cannot be written")]
)
def test_a_disk_that_takes_nothing(site: Site, number: int, text: str) -> None:
    site.seams = replace(site.seams, disk=Failing(number))
    says(site.first(), "disk", text)


def test_a_state_directory_of_somebody_else(site: Site) -> None:
    journal = site.state / "journal"
    journal.mkdir()
    os.chown(journal, 1, 1)
    says(site.first(), "state", f"{journal} belongs to somebody else")


def test_a_state_directory_that_is_none(site: Site) -> None:
    site.config.write_text('[gateway]\nid = "gw-1"\n[journal]\ndirectory = "/nowhere/else"\n')
    site.state.rmdir()
    site.state.write_text("", "utf-8")
    says(site.first(), "state", "is no directory")


async def written(target: Path) -> None:
    """Write a journal to `target`."""
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    for path in disk.paths():
        to = target / path.relative_to(DIRECTORY)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(disk.read_bytes(path, 1 << 30))


def test_a_damaged_journal(site: Site) -> None:
    journal = site.state / "journal"
    asyncio.run(written(journal))
    assert not [one for one in site.found() if one.check == "journal" and one.level != "ok"]
    largest = max(journal.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    data = bytearray(largest.read_bytes())
    for at in range(len(data) // 4, len(data) // 4 + 64):
        data[at] ^= 0xFF
    largest.write_bytes(data)
    says(site.first(), "journal", "is not sound")


def identified(site: Site, begins: dt.datetime, ends: dt.datetime) -> None:
    pair = Authority(site.folder / "pki").issue_from("gw-1", begins, ends)
    made = Identity("gw-1", bytes(16), "h:1", "h:1", 1, pair.cert.read_bytes(), b"", b"", b"")
    IdentityStore(site.state / FOLDER, SystemDisk()).replace(made)


def test_a_box_without_an_identity_or_with_one_that_is_over(site: Site) -> None:
    site.write(UPLINK.format(port=free_port(), tls='identity = "fleet"'))
    says(site.first(), "identity", "in no fleet")
    now = dt.datetime.now(dt.UTC)
    identified(site, now - 2 * DAY, now - DAY)
    says(site.first(), "identity", "ended on")
    identified(site, now + DAY, now + 2 * DAY)
    says(site.first(), "identity", "the clock is behind")
    site.write()
    (site.state / FOLDER / "identity.json").write_text("{", "utf-8")
    says(site.first(), "identity", "damaged")


# --- devices


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Take connections on a port; each gets `answer` on a thread, and stays open till the end."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            kept.append(client)
            client.settimeout(10)
            threading.Thread(target=answered, args=(client,), daemon=True).start()

    def answered(client: socket.socket) -> None:
        try:
            answer(client)
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
        for client in kept:
            client.close()


def test_a_name_that_nobody_knows(site: Site) -> None:
    site.device('host = "press.invalid"')
    says(site.first(), "device", "the name press.invalid cannot be found")


def test_a_port_that_nobody_listens_at(site: Site) -> None:
    site.device(f'host = "127.0.0.1"\nport = {free_port()}')
    says(site.first(), "device", "nobody listens")


def test_a_device_that_takes_connections_and_says_nothing(site: Site) -> None:
    with listening(lambda client: client.recv(1000)) as port:
        site.device(f'host = "127.0.0.1"\nport = {port}')
        says(site.first(), "device", "no answer")


def test_a_serial_port_that_is_not_there_or_is_none(site: Site) -> None:
    port = site.folder / "ttyUSB0"
    site.device(f'transport = "rtu"\nserial_port = "{port}"')
    says(site.first(), "device", "is not there")
    port.write_text("", "utf-8")
    says(site.first(), "device", "is no serial port")


def test_a_serial_port_of_another_group(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    may = os.access

    def access(path: Path, mode: int, **more: bool) -> bool:
        return path.name != "null" and may(path, mode, **more)

    monkeypatch.setattr(os, "access", access)
    site.device('transport = "rtu"\nserial_port = "/dev/null"')
    says(site.first(), "device", "this user may not use /dev/null")


def test_a_serial_port_that_another_program_holds(site: Site) -> None:
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    wait = (
        "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); "
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", wait, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        os.close(theirs)
        site.device(f'transport = "rtu"\nserial_port = "{name}"')
        says(site.first(), "device", f"{name} is held by ")
        assert f"(process {other.pid})" in site.first().text
        other.communicate()
    os.close(ours)


def test_a_broker_that_refuses_who_asks(site: Site) -> None:
    """CONNACK of MQTT 5 (3.2) with reason 0x87: not authorized."""

    def refuse(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(bytes((0x20, 3, 0, 0x87, 0)))

    with listening(refuse) as port:
        site.device(f'host = "127.0.0.1"\nport = {port}\ntls = false', "mqtt", "plant/a")
        site.config.write_text(
            site.config.read_text("utf-8") + 'groups.default.mode = "subscribe"\n', "utf-8"
        )
        says(site.first(), "device", "Not authorized")


# --- destinations


@contextmanager
def tls_server(pair: Pair) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)

    def shake(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secured:
            secured.recv(1)

    with listening(shake) as port:
        yield port


def uplink(site: Site, port: int, authority: Authority, more: str = "") -> None:
    own = Authority(site.folder / "own")
    pair = own.issue("gw-1")
    pair.key.chmod(0o600)
    tls = f'ca = "{authority.ca}"\ncert = "{pair.cert}"\nkey = "{pair.key}"\n{more}'
    site.write(UPLINK.format(port=port, tls=tls))


def test_a_server_that_is_not_what_it_should_be(site: Site) -> None:
    authority = Authority(site.folder / "pki")
    now = dt.datetime.now(dt.UTC)
    with tls_server(authority.issue("server")) as port:
        uplink(site, port, authority)
        assert [one.level for one in site.found() if one.check == "uplink"] == ["ok"]
        uplink(site, port, authority, 'server_name = "fleet.example.org"')
        says(site.first(), "uplink", "is not for fleet.example.org")
        uplink(site, port, Authority(site.folder / "other"))
        says(site.first(), "uplink", "signed by nobody known here")
    with tls_server(authority.issue_from("server", now - 2 * DAY, now - DAY)) as port:
        uplink(site, port, authority)
        says(site.first(), "uplink", "has expired")
    with tls_server(authority.issue_from("server", now + DAY, now + 2 * DAY)) as port:
        uplink(site, port, authority)
        says(site.first(), "uplink", "is not good yet")
    with listening(lambda client: client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        uplink(site, port, authority)
        says(site.first(), "uplink", "speaks no TLS")


# --- with an agent


async def test_an_agent_that_runs_says_how_its_parts_do(site: Site) -> None:
    path = site.folder / "control.sock"
    async with ControlServer(path, ScriptedAgent()):
        found = await asyncio.to_thread(doctor.examined, site.config, path, site.seams)
    assert [one for one in found if one.check == "agent" and "runs, forebay" in one.text]
    assert not [one for one in found if "none runs" in one.text]


async def test_what_does_not_do_what_it_should_is_told_though_it_is_connected(site: Site) -> None:
    path, agent = site.folder / "control.sock", ScriptedAgent()
    agent.status_reply = replace(
        agent.status_reply,
        problems=(
            "device press: 12 tags have no usable value (forebay tags --bad)",
            "device oven: no route to host 10.0.0.7 (check the cable and the address)",
            "disk: only 3 MiB are free where the journal lies (free some)",
        ),
    )
    async with ControlServer(path, agent):
        found = await asyncio.to_thread(doctor.examined, site.config, path, site.seams)
    told = {(one.check, one.about, one.text, one.hint) for one in found if one.level == "warning"}
    assert ("device", "press", "12 tags have no usable value", "forebay tags --bad") in told
    assert ("agent", "", "disk: only 3 MiB are free where the journal lies", "free some") in told
    assert sum(one.about == "oven" for one in found) == 1, "a fault is told once"


async def test_a_file_that_is_not_what_runs_and_one_that_nobody_named(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.folder / "control.sock"
    rolling = ScriptedRolling(file=str(site.config))
    async with ControlServer(path, ScriptedAgent(config=rolling)):
        monkeypatch.setattr(places, "CONFIG", site.folder / "no.toml")
        found = await asyncio.to_thread(doctor.examined, site.folder / "no.toml", path, site.seams)
    said = [(one.level, one.text) for one in found if one.check == "configuration"]
    assert said[0] == ("warning", f"{site.config} is not what runs: generation 3 does")
    assert said[1][0] == "ok"


class Hidden(PosixPath):
    """A path into which this user may not look."""

    def exists(self) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))


def test_what_may_not_be_looked_at_is_not_there() -> None:
    assert not paths.is_there(Hidden("/a/b"))
    assert paths.nearest(Hidden("/a/b")) == Path("/")


async def test_an_agent_that_may_not_be_asked_is_not_denied(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.folder / "control.sock"
    monkeypatch.setattr(address, "knock", lambda _: address.Answer.FORBIDDEN)
    found = await asyncio.to_thread(doctor.examined, site.config, path, site.seams)
    says(found[0], "agent", "this user may not connect")
    assert "sudo" in found[0].hint


class Nameless(PosixPath):
    """A path of an owner for whom this machine has no name, as in a container's volume."""

    def owner(self) -> str:
        raise KeyError(f"getpwuid(): uid not found: {self.stat().st_uid}")


def test_an_owner_without_a_name_is_told_by_number(site: Site) -> None:
    assert paths.owner(Nameless(site.state)) == str(os.geteuid())


def test_a_folder_that_cannot_be_made(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_STATE", "/proc/forebay")
    site.write('[uplinks.lake]\nkind = "file"\ndirectory = "/proc/lake"\n')
    told = {one.check: one for one in site.found() if one.level == "fault"}
    assert "cannot make /proc/forebay" in told["state"].text
    says(told["uplink"], "uplink", "/proc/lake cannot be written")


def test_authorities_that_are_none(site: Site) -> None:
    ca = site.folder / "ca.pem"
    table = '[uplinks.broker]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {}\nca = "{}"\n'
    with listening(lambda client: client.close()) as port:
        ca.write_text("no certificate\n")
        site.write(table.format(port, ca))
        says(site.first(), "uplink", "ca holds no certificate")
        ca.write_bytes(b"\x30\x82\xff\xfe")
        says(site.first(), "uplink", "ca cannot be read")


def test_the_command_says_it_in_lines_and_in_json(site: Site) -> None:
    site.device('host = "press.invalid"')
    words = ("doctor", "--config", str(site.config), "--socket", str(site.folder / "none.sock"))

    def ran(*more: str) -> Any:
        return asyncio.run(forebay(*words, *more))

    said = ran()
    assert said.code == 1
    first, step, page = said.out.splitlines()[:3]
    assert first.startswith("fault    device press: the name press.invalid cannot be found")
    assert step.strip().startswith("next: ")
    assert page.strip() == "see:  docs/guides/doctor.md#device"
    document = ran("--json").document()
    assert document["ok"] is False
    assert document["findings"][0]["page"] == "docs/guides/doctor.md#device"


def test_the_page_has_a_heading_for_each_check(sections: Sequence[str]) -> None:
    assert set(CHECKS) <= set(sections)


@pytest.fixture
def sections() -> list[str]:
    page = Path(__file__).resolve().parents[3] / "docs/guides/doctor.md"
    lines = page.read_text("utf-8").splitlines()
    return [line[3:].lower() for line in lines if line.startswith("## ")]


def test_nothing_is_left_of_the_probe(site: Site) -> None:
    site.found()
    assert not list(site.state.iterdir())
    shutil.rmtree(site.state)
    assert "is made at the first start" in "".join(one.text for one in site.found())
