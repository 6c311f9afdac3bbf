"""No secret is ever in a log: a real box at level debug, whose secrets are used, refused and wrong.

Everything that it says is searched for each secret, in every spelling: its log, its answers, its
metrics, the journal. The bundle has its own test (test_diagnosis).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import httpx2
import pytest

from e2e.test_diagnosis import spellings
from support.asyncua_server import small_server
from support.fleet_boxes import Box, Fleet
from support.processes import free_port, until
from support.scripted_broker import ScriptedBroker

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REFUSED = b"\x20\x03\x00\x86\x00"
"""CONNACK of MQTT 5: bad user name or password (4.13)."""
SECRETS = {
    "broker": 'Broker"Sesam\\4721 ä',
    "plc": "Plc/Sesam+4722=",
    "metrics": "metrics-Sesam-4723-long-enough",
    "otlp": "otlp-Sesam-4725-long-enough",
    "wrong": "wrong-Sesam-4724-long-enough",
}


def plant(box: Box, broker: int, plc: str, metrics: int) -> None:
    """Have it use each of them against somebody who does not take it."""
    for name in ("broker", "plc", "metrics", "otlp"):
        path = box.directory / name
        path.write_text(f"{SECRETS[name]}\n", "utf-8")
        path.chmod(0o600)
    text = box.config.read_text("utf-8")
    box.config.write_text(
        f"""{text}
[log]
level = "debug"
[metrics]
enabled = true
port = {metrics}
token = "metrics"
[metrics.otlp]
host = "127.0.0.1"
port = {metrics}
every = "1 s"
token = "otlp"
[devices.broker]
protocol = "mqtt"
host = "127.0.0.1"
port = {broker}
tls = false
username = "line"
password_file = "broker"
tags = [{{ name = "v", address = "a/b", type = "float64" }}]
[devices.plc]
protocol = "opcua"
endpoint = "{plc}"
security_policy = "None"
username = "line"
password_file = "plc"
tags = [{{ name = "v", address = "ns=2;s=v", type = "float64" }}]
""",
        "utf-8",
    )


def answered(box: Box, device: str) -> bool:
    """Whether it is known what a device says to who wants to log in."""
    return any(box.told(event, device=device) for event in ("device_connected", "device_lost"))


async def told(box: Box, port: int) -> bytes:
    """Give all that it says of itself."""
    asked = [
        ("status",),
        ("devices", "--json"),
        ("log", "--lines", "2000", "--json"),
        ("config", "show", "--json"),
        ("plugins", "ls", "--json"),
        ("fleet", "status", "--json"),
        ("journal", "status", "--json"),
    ]
    said = [(await box.forebay(*words)).out for words in asked]
    url = f"http://127.0.0.1:{port}/metrics"
    async with httpx2.AsyncClient(timeout=30.0) as client:
        for token, status in (("wrong", 401), ("metrics", 200)):
            headers = {"authorization": f"Bearer {SECRETS[token]}"}
            answer = await client.get(url, headers=headers)
            assert answer.status_code == status
            said.append(answer.text)
    return "\n".join(said).encode()


async def test_what_it_says_holds_no_secret(tmp_path: Path) -> None:
    broker, port = ScriptedBroker(b"\x00", REFUSED), free_port()
    listening = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    async with listening, small_server(v=1.0) as plc:
        with Fleet(tmp_path) as fleet:
            async with Box(fleet, "box") as box:
                plant(box, listening.sockets[0].getsockname()[1], plc.endpoint, port)
                token = await fleet.token()
                assert (await box.enroll(token)).code == 0
                assert (await box.enroll(token)).code != 0, "it is used"
                await box.agent.start()
                await box.until_uplink("connected")
                for device in ("broker", "plc"):
                    await until(partial(answered, box, device), device)
                await until(lambda: box.told("metrics_unsent"), "that is no collector")
                assert SECRETS["broker"].encode() in broker.hello, "it was used"
                said = await told(box, port)
                await box.agent.stop()
                said += b"".join(p.read_bytes() for p in (box.state / "journal").rglob("*.seg"))
                log = box.agent.log.read_bytes()
                assert box.told("device_lost", device="broker")
                identity = box.identity
                keys = [*identity.key.split(), *identity.bound_key.split(), token.encode()]
                for where, text in (("log", log), ("answers", said)):
                    for name, secret in SECRETS.items():
                        assert not [one for one in spellings(secret) if one in text], (where, name)
                    found = [k for k in keys if len(k) > 8 and not k.startswith(b"-") and k in text]
                    assert not found, where
