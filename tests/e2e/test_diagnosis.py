"""A diagnostics bundle of a real box: it says what is needed, and none of the secrets planted.

Secrets are put where a configuration, an environment, an identity, a plugin's settings or a log can
hold one; the whole archive, uncompressed, is searched for each of them in every spelling.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from support.fleet_boxes import Box, Fleet
from support.processes import free_port, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SECRETS = {
    "comment": "Comment-Sesam-4711",
    "file": 'File"Sesam\\4712 ä',
    "plugin": "plugin-Sesam-4714",
    "nested": "nested-Sesam-4715",
    "environment": "Env Sesam/4716+x=",
    "credential": "credential-Sesam-4717",
    "url": "url-Sesam-4718",
}


def spellings(secret: str) -> set[bytes]:
    """Give how it could stand in an archive."""
    data = secret.encode()
    texts = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}
    texts |= {json.dumps(secret, ensure_ascii=False)[1:-1], data.hex()}
    encoded = {base64.b64encode(data), base64.urlsafe_b64encode(data)}
    return {text.encode() for text in texts} | {one.rstrip(b"=") for one in encoded}


def plant(box: Box, directory: Path) -> None:
    """Put a secret wherever one can be."""
    password, credentials = box.directory / "password", directory / "credentials"
    password.write_text(SECRETS["file"] + "\n", "utf-8")
    password.chmod(0o600)
    credentials.mkdir()
    (credentials / "broker").write_text(SECRETS["credential"], "utf-8")
    text = box.config.read_text("utf-8")
    box.config.write_text(
        f"""# the old password was {SECRETS["comment"]}
{text}
[devices.broker]
protocol = "mqtt"
host = "{SECRETS["credential"]}.invalid"
port = {free_port()}
username = "line"
password_file = "password"
tags = [{{ name = "v", address = "a/b", type = "float64" }}]
[plugins.lost]
plugin = "nowhere"
inputs = {{ main = ["sim/*"] }}
[plugins.lost.settings]
api = "{SECRETS["plugin"]}"
deep = {{ list = [{{ any = "{SECRETS["nested"]}" }}], threshold = 4 }}
endpoint = "https://somebody:{SECRETS["url"]}@example.org/x"
""",
        "utf-8",
    )
    box.agent.environment |= {
        "FOREBAY_TEST_TOKEN": SECRETS["environment"],
        "CREDENTIALS_DIRECTORY": str(credentials),
    }


def opened(path: Path) -> tuple[bytes, Mapping[str, bytes]]:
    """Give all bytes of an archive, and each of its files."""
    import gzip

    data = gzip.decompress(path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {
            one.name.removeprefix("forebay-support/"): (
                archive.extractfile(one) or io.BytesIO()
            ).read()
            for one in archive
        }
    return data, files


def judge(path: Path, box: Box, token: str) -> dict[str, bytes]:
    """See that no secret is in it, and that it tells what it must; give its files."""
    data, files = opened(path)
    for name, secret in SECRETS.items():
        for spelling in spellings(secret):
            assert spelling not in data, (name, spelling)
    identity = box.identity
    assert token.encode() not in data
    for pem in (identity.key, identity.bound_key):
        for line in pem.split():
            assert line not in data or line.startswith(b"-----") or len(line) < 8, line
    assert b"PRIVATE KEY" not in data
    told: dict[str, Any] = {
        name: json.loads(content) for name, content in files.items() if name.endswith(".json")
    }
    assert told["about.json"]["gateway"] == "gw-1"
    assert told["status.json"]["gateway"] == "gw-1"
    assert {one["name"] for one in told["devices.json"]} == {"sim", "broker"}
    assert [one["name"] for one in told["uplinks.json"]] == ["cloud"]
    assert told["segments.json"]
    assert told["journal.json"]["commits"] > 0
    assert told["versions.json"]["grpcio"]
    assert told["configuration.json"]["running"]
    config = told["config.json"]["forebay.toml"]
    assert config["devices"]["sim"]["protocol"] == "simulated"
    assert config["plugins"]["lost"]["settings"]["deep"]["threshold"] == "[redacted]"
    assert "agent_started" in files["log.txt"].decode()
    assert b"MemAvailable" in files["system/proc-meminfo.txt"]
    return dict(files)


async def test_a_bundle_tells_everything_but_secrets(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            plant(box, tmp_path)
            token = await fleet.token()
            assert (await box.enroll(token)).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            lost = await box.forebay("devices")
            await until(lambda: box.told("fleet_connected"), "it is connected")
            assert lost.code == 0, lost

            path = tmp_path / "mine.tar.gz"
            ended = await box.forebay("bundle", str(path))
            assert ended.code == 0, ended
            assert path.stat().st_mode & 0o777 == 0o600
            files = judge(path, box, token)
            doctor = json.loads(files["doctor.json"])
            assert {"configuration", "disk", "device"} <= {f["check"] for f in doctor["findings"]}
            assert SECRETS["credential"].encode() in box.agent.log.read_bytes(), "it was logged"
            assert b"[redacted]" in files["log.txt"]
            assert (await box.forebay("bundle", str(path))).code == 2, "nothing is overwritten"

            found = await fleet.ask("send", "bundle", "gw-1", "--wait", "60")
            assert found["outcome"] == "done", found
            kept = fleet.server.data / "bundles" / "gw-1" / f"{found['id']}.tar.gz"
            assert found["file"] == str(kept)
            judge(kept, box, token)
            assert not [*box.state.rglob("*.tar.gz")], "nothing is left on the box"


async def test_the_log_tells_more_for_a_while_and_parts_begin_again(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            done = await fleet.ask(
                "send", "log-level", "gw-1", "error", "--during", "3s", "--wait", "60"
            )
            assert done["outcome"] == "done", done
            connected = len(box.told("device_connected"))
            assert (await box.forebay("restart", "device", "sim")).code == 0
            assert (await box.forebay("log", "level", "debug", "--for", "2s")).code == 0
            await until(lambda: box.told("log_level", least="info"), "it is as configured again")
            assert (await box.forebay("restart", "device", "sim")).code == 0
            await until(lambda: len(box.told("device_connected")) > connected, "it is told again")
            told = (await box.forebay("log", "--lines", "1000", "--json")).document()["lines"]
            numbers = [line["number"] for line in told]
            assert numbers == [*range(numbers[0], numbers[-1] + 1)]
            assert [line["text"] for line in told if '"agent_started"' in line["text"]]
            assert "device_connected" in (await box.forebay("log")).out
            wrong = await box.forebay("log", "level", "loud")
            assert wrong.code == 2, wrong
            assert (await box.forebay("restart", "device", "none")).code == 2
            refused = await fleet.ask(
                "send", "log-level", "gw-1", "debug", "--during", "2d", good=False
            )
            assert refused["outcome"] == "refused"
            assert (await box.forebay("restart", "agent")).code == 0
            await until(lambda: len(box.told("agent_started")) > 1, "it began anew")
