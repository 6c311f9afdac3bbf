"""What `serve --stream` and `worker` refuse before they speak to anybody."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from forebay_fleet.errors import StoreAway, UsageError
from forebay_fleet.stream import connecting
from forebay_fleet.stream.connecting import StreamSettings, checked, open_line
from support.fleet import FleetServer
from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_two_servers_have_directories_of_their_own(tmp_path: Path) -> None:
    with FleetServer(tmp_path, insecure=True) as server:
        by = ("--stream", "nats://127.0.0.1:4222", "--insecure", "--listen", "127.0.0.1:0")
        done = server.command("serve", *by)
    assert done.returncode == 1
    assert "in use by another server" in done.stderr


def test_a_worker_needs_a_stream_and_a_postgresql(tmp_path: Path) -> None:
    server = FleetServer(tmp_path)
    done = server.command("worker")
    assert (done.returncode, "no stream is named" in done.stderr) == (2, True)
    done = server.command("worker", "--stream", "nats://127.0.0.1:4222")
    assert (done.returncode, "share a PostgreSQL" in done.stderr) == (2, True)


async def test_where_nobody_listens_is_told_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S", 0.5)
    by = StreamSettings(f"nats://someone:opensesame@127.0.0.1:{free_port()}")
    async with AsyncExitStack() as stack:
        with pytest.raises(StoreAway, match=r"no NATS at 127\.0\.0\.1") as found:
            await open_line(stack, by)
    assert "opensesame" not in f"{found.value}{found.value.hint}"


@pytest.mark.parametrize(
    "servers", ["", "http://nats-1:4222", "nats://", "nats://nats-1:4222", "tls://a:1,nats://b:1"]
)
def test_plaintext_stays_on_the_machine(servers: str) -> None:
    with pytest.raises(UsageError):
        checked(StreamSettings(servers))


def test_addresses_are_taken_apart() -> None:
    settings = StreamSettings("tls://nats-1:4222, tls://nats-2:4222,")
    assert checked(settings) == ["tls://nats-1:4222", "tls://nats-2:4222"]
    assert checked(StreamSettings("nats://[::1]:4222")) == ["nats://[::1]:4222"]
