"""Fault 33: a server of another authority, and a gateway that is revoked.

Nothing is said to the one, and the other is not let in; there is no way around TLS.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from forebay_fleet import certificates
from support.fleet_boxes import Box, Fleet
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def listener(context: ssl.SSLContext | None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Listen; give the port, and what each connection said once TLS, if there is any, stood."""
    said: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            said.append(await asyncio.wait_for(reader.read(1024), 5.0))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(hear, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], said
    finally:
        server.close()


async def test_fault_33_an_impostor_hears_no_token(tmp_path: Path) -> None:
    """It shows the right authority's certificate, which is public, behind one of its own making."""
    evil = tmp_path / "evil"
    certificates.init(evil, "test CA")
    pair = certificates.issue_server(evil, evil, ["127.0.0.1"], 1)
    with Fleet(tmp_path) as fleet:
        token = await fleet.token()
        chain = pair.certificate.read_bytes() + (fleet.pki / "ca.crt").read_bytes()
        (evil / "chain.pem").write_bytes(chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(evil / "chain.pem", pair.key)
        async with Box(fleet, "box") as box, listener(context) as (port, said):
            for name in ("pinned", "not pinned"):
                if name == "not pinned":
                    context.load_cert_chain(pair.certificate, pair.key)
                there = await box.forebay(
                    *("fleet", "enroll", "--server", f"127.0.0.1:{port}", "--token", "-"),
                    *("--gateway", "gw-1"),
                    stdin=token,
                )
                assert there.code == 1, there
                told = there.document()["error"]["message"]
                assert ("nothing was sent" in told) == (name == "not pinned"), told
            assert not any(said)
            assert (await box.enroll(token)).code == 0  # and so it is still good


async def test_fault_33_wrong_ca_and_no_plaintext(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet, Fleet(tmp_path / "other") as other:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            ours = box.config.read_text()
            box.config.write_text(ours.replace(fleet.server.address, other.server.address))
            await box.agent.start()
            refused = await box.until_uplink("waiting", lambda u: u["last_error"])
            assert "TLS" in refused["last_hint"]
            assert (await box.ledger())["delivered"] == 0
            await box.agent.stop()
            assert await other.ask("gateways") == []
            async with listener(None) as (port, said):
                box.config.write_text(ours.replace(fleet.server.address, f"127.0.0.1:{port}"))
                await box.agent.start()
                await until(lambda: len(said) >= 3, "three attempts")
                await box.agent.stop()
            # TLS records of type handshake (RFC 8446, section 5.1), and nothing in the clear.
            assert all(first[:2] == b"\x16\x03" for first in said if first)
            assert any(said)


async def test_fault_33_revoked(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            await fleet.ask("gateways", "revoke", "gw-1", "--reason", "sold")
            refused = await box.until_uplink("waiting", lambda u: "revoked" in u["last_error"])
            assert "sold" in refused["last_error"]
            assert "ask there" in refused["last_hint"]
            before = await box.ledger()
            while (await box.ledger())["produced"] <= before["produced"]:
                assert box.agent.running
            assert (await box.ledger())["delivered"] == before["delivered"]
            await fleet.ask("gateways", "unlock", "gw-1")
            await box.until_uplink("connected")
            assert await box.agent.stop() == 0
            (end,) = box.told("agent_stopped")
            assert end["produced"] == end["delivered"] + end["pending"]
