"""The guide from one server to many processes, typed: its certificates, its worker, its server.

Only addresses and directories are the test's own. That each of them may die: test_fleet_scale.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.certificates import init, issue_gateway, issue_server
from support.fleet import ClientFiles, Gateway, anchor
from support.jetstream import BINARY, CONFIG, Cluster
from support.processes import BIN, Process, free_port, until
from support.scaled import ready
from support.shown import commands, note

if TYPE_CHECKING:
    from support.postgres import Postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/scale-out.md"


def typed() -> list[str]:
    """Give all lines that the guide has one type."""
    return commands(GUIDE.read_text("utf-8"))


def certify(folder: Path) -> None:
    """Make the certificates of the guide."""
    for line in typed():
        if line.startswith("forebay-fleet ca"):
            words = shlex.split(line)
            note(words)
            subprocess.run([BIN / words[0], *words[1:]], cwd=folder, check=True, timeout=60)


def test_certificates_fit_the_configuration(tmp_path: Path) -> None:
    certify(tmp_path)
    named = {
        "FOREBAY_NATS_NAME": "nats-2",
        "FOREBAY_NATS_STORE": str(tmp_path / "store"),
        "FOREBAY_NATS_PASSWORD": "of-the-test",
        "FOREBAY_NATS_ROUTE": "of-the-servers",
        "FOREBAY_NATS_CERT": str(tmp_path / "nats-2/server.crt"),
        "FOREBAY_NATS_KEY": str(tmp_path / "nats-2/server.key"),
        "FOREBAY_NATS_CA": str(tmp_path / "nats/ca.crt"),
    }
    assert BINARY is not None
    done = subprocess.run(
        [BINARY, "-t", "-c", str(CONFIG)],
        env=os.environ | named,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in named:
        assert name in CONFIG.read_text("utf-8").partition("server_name")[0], "it is told of"


@pytest.mark.follows("docs/guides/scale-out.md")
async def test_a_worker_and_a_server_take_a_record(tmp_path: Path, postgres: Postgres) -> None:
    (tmp_path / "certificates").mkdir()
    certify(tmp_path / "certificates")
    pki, port = tmp_path / "pki", free_port()
    init(pki, "throw-away CA")
    issue_server(pki, pki, ["127.0.0.1"], 1)
    pair = issue_gateway(pki, pki, "press", 1)
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(tmp_path / "nats"))
        own = {
            "/var/lib": str(tmp_path),
            "nats/ca.crt": str(cluster.authority),
            "--ca pki": f"--ca {pki}",
            "0.0.0.0:7443": f"127.0.0.1:{port}",
        }
        values = {"FOREBAY_STREAM": cluster.url, "FOREBAY_DATABASE": postgres.fresh()}
        exported = [line.split()[1].partition("=")[0] for line in typed() if "export " in line]
        assert sorted(exported) == sorted(values)
        for command in ("worker", "serve"):
            (line,) = [one for one in typed() if one.startswith(f"forebay-fleet {command} ")]
            note([line])  # with addresses and places of its own
            for theirs, ours in own.items():
                line = line.replace(theirs, ours)
            words = shlex.split(line)
            process = Process(command, [str(BIN / words[0]), *words[1:]], tmp_path)
            process.environment = values
            await stack.enter_async_context(process)
            await process.start()
            await until(partial(ready, process), f"{command} is ready")
        files = ClientFiles(pki / "ca.crt", pair.certificate, pair.key)
        head = uplink_pb2.Head(stream=uplink_pb2.TELEMETRY, epoch=1 << 32, first_seq=1, next_seq=2)
        gateway = Gateway(f"127.0.0.1:{port}", files, "press", [head])
        async with gateway:
            await gateway.send(anchor(1))
            assert (await gateway.ack()).committed.committed_seq == 1
