"""Real processes for whole-system tests.

The agent and the fleet server, started as their commands and killed as a crash kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from forebay_fleet import certificates
from support import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ASKED_EVERY_S = 0.3
"""A command is a process of its own: who waits for something must not take the cores for asking."""
BIN = Path(sys.executable).parent
GATEWAY = "gw-1"


def free_port() -> int:
    """Give a port that nobody listens on now, for a server that starts later or again.

    It lies below those that Linux gives out by itself (32,768 and up, unless told otherwise), which
    anybody who connects anywhere may get meanwhile. OSError if a hundred were taken.
    """
    rng, tries = random.SystemRandom(), 100
    while True:
        port, tries = rng.randrange(16_384, 32_768), tries - 1
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            if not tries:
                raise
            continue
        return port


async def until(
    condition: Callable[[], object], what: str, timeout_s: float = 60.0, every_s: float = 0.05
) -> None:
    """Wait for a condition; AssertionError naming `what` if it does not come."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(every_s)


async def until_listening(process: asyncio.subprocess.Process, port: int) -> None:
    """Wait until `process` takes connections on `port`; AssertionError if it ends before."""
    async with asyncio.timeout(15.0):
        while True:
            assert process.returncode is None, "it did not start"
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                return
            await asyncio.sleep(0.02)


async def run_forebay(*words: str) -> tuple[int, str]:
    """Run a `forebay` command to its end; give its exit code and all that it printed."""
    shown.note(("forebay", *words))
    process = await asyncio.create_subprocess_exec(
        str(BIN / "forebay"),
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


class Process:
    """A command that can be started, killed and started again; it is killed at the end."""

    def __init__(self, name: str, command: Sequence[str], directory: Path) -> None:
        self.name, self.log = name, directory / f"{name}.log"
        self.environment: dict[str, str] = {}
        """What it is given beside the test's own environment, from the next start on."""
        self.before: list[str] = []
        """Words before its command, from the next start on: what it is to run under."""
        self.command = [str(word) for word in command]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, with its output added to the log."""
        shown.note(self.command)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.before,
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self, timeout_s: float = 40.0) -> int:
        """SIGTERM; give the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), timeout_s)

    async def wait(self) -> int:
        """Wait for its own end; give the exit code."""
        assert self._process is not None
        return await self._process.wait()

    def text(self) -> str:
        """Give the whole log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


def simulated(name: str, count: int, period: str, stages: str = "") -> str:
    """Give the configuration of a simulated device with `count` counters."""
    rows = ", ".join(
        f'{{ name = "t{i}", address = "counter", type = "int32" }}' for i in range(count)
    )
    return f"""
[devices.{name}]
protocol = "simulated"
tags = [{rows}]
{stages}
[devices.{name}.groups.default]
period = "{period}"
"""


class World:
    """A directory with certificates, a fleet server and an agent.

    The test writes the configuration.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._asked_s = 0.0
        self.certificates = directory / "certificates"
        certificates.init(self.certificates, "test CA")
        certificates.issue_server(self.certificates, self.certificates, ["127.0.0.1"], 30)
        certificates.issue_gateway(self.certificates, self.certificates, GATEWAY, 30)
        self.port = free_port()
        self.store = directory / "store"
        self.socket = directory / "control.sock"
        self.journal = directory / "journal"
        self.config = directory / "forebay.toml"
        pair = [
            "--cert",
            self.certificates / "server.crt",
            "--key",
            self.certificates / "server.key",
        ]
        self.server = Process(
            "server",
            [str(BIN / "forebay-fleet"), "serve", "--data", str(self.store),
             "--listen", f"127.0.0.1:{self.port}", *map(str, pair),
             "--client-ca", str(self.certificates / "ca.crt")],
            directory,
        )  # fmt: skip
        self.agent = Process(
            "agent",
            [str(BIN / "forebay"), "run", "--json", "--config", str(self.config)],
            directory,
        )
        self.agent.environment["FOREBAY_STATE"] = str(directory / "state")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.agent.kill()
        await self.server.kill()

    def write_config(self, devices: str, *, more: str = "") -> None:
        """Write forebay.toml around the tables of `devices`."""
        self.config.write_text(
            f"""
[gateway]
id = "{GATEWAY}"
[journal]
directory = "{self.journal}"
{more}
[control]
socket = "{self.socket}"
[log]
level = "info"
[uplinks.cloud]
kind = "grpc"
address = "127.0.0.1:{self.port}"
ca = "{self.certificates}/ca.crt"
cert = "{self.certificates}/{GATEWAY}.crt"
key = "{self.certificates}/{GATEWAY}.key"
backoff = {{ first = "50 ms", most = "500 ms" }}
{devices}
""",
            encoding="utf-8",
        )

    async def ask(self, *words: str) -> tuple[int, Any]:
        """Run a `forebay` command with --json.

        Give its exit code and document (None if it printed none).
        """
        await self._turn()
        shown.note(("forebay", *words))
        process = await asyncio.create_subprocess_exec(
            str(BIN / "forebay"), *words, "--json", "--socket", str(self.socket),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, json.loads(out) if out.strip() else None

    async def ask_fleet(self, *words: str) -> Any:
        """Run a `forebay-fleet` command on the store with --json; give its document."""
        await self._turn()
        process = await asyncio.create_subprocess_exec(
            str(BIN / "forebay-fleet"), *words, "--json", "--data", str(self.store),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        return json.loads(out)

    async def _turn(self) -> None:
        """Wait until ASKED_EVERY_S are over since the last question."""
        loop = asyncio.get_running_loop()
        wait_s = self._asked_s + ASKED_EVERY_S - loop.time()
        self._asked_s = loop.time() + max(0.0, wait_s)
        await asyncio.sleep(wait_s)

    async def delivered(self) -> None:
        """Wait until the agent has delivered, or explained, all that it had when this began.

        AssertionError if it ends meanwhile. What comes in the meantime may be pending: it always
        is, on a machine that is slow enough.
        """
        had: int | None = None
        while True:
            _, document = await self.ask("ledger")
            assert self.agent.running, self.agent.text()[-2000:]
            if not document or "lines" not in document:
                continue  # it does not answer yet
            lines: list[dict[str, int]] = document["lines"]
            if had is None:
                had = sum(line["produced"] + line["accepted"] for line in lines)
            parts = ("delivered", "gapped", "quarantined")
            if sum(line[part] for line in lines for part in parts) >= had:
                return
