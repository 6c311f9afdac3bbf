"""A fleet of real processes: a server with an authority of its own, and boxes with their agents."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from forebay.files import SystemDisk
from forebay.identity import Identity, current
from support.fleet import FleetServer
from support.processes import BIN, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIMULATED = """
[devices.sim]
protocol = "simulated"
tags = [{ name = "t", address = "counter", type = "int32" }]
[devices.sim.groups.default]
period = "200 ms"
"""


class Ended(NamedTuple):
    """A command that has ended: its exit code, and all that it said."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Give the JSON that it printed."""
        return json.loads(self.out)


async def command(*words: object, stdin: str = "", **environment: str) -> Ended:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class Fleet:
    """`with Fleet(tmp_path, valid_for="20s") as fleet:` runs a server that boxes can enroll at."""

    def __init__(self, directory: Path, valid_for: str = "30d") -> None:
        self.directory = directory
        self.enrollment = f"127.0.0.1:{free_port()}"
        self.pki = directory / "pki"
        self.server = FleetServer(
            directory,
            *("--ca", str(self.pki), "--enroll-listen", self.enrollment),
            *("--host", "127.0.0.1", "--valid-for", valid_for),
        )

    def __enter__(self) -> Self:
        self.server.port = self.server.port or free_port()  # boxes keep its address
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    async def ask(self, *words: str, good: bool | None = True) -> Any:
        """Run a `forebay-fleet` command on its data with --json; give its document.

        It must end well, or must not, or (None) either.
        """
        ended = await command(BIN / "forebay-fleet", *words, "--json", "--data", self.server.data)
        assert good is None or (ended.code == 0) is good, ended
        return ended.document() if ended.out.strip() else None

    async def token(self, *words: str) -> str:
        """Make a token."""
        made = await self.ask("token", "create", *words)
        assert made["server"] == self.enrollment
        return str(made["token"])

    async def identity(self, gateway: str) -> dict[str, Any]:
        """Give what the server knows of a gateway's identity."""
        rows = await self.ask("gateways")
        found: dict[str, Any] = next(row["identity"] for row in rows if row["name"] == gateway)
        return found


class Box:
    """One box: a state directory, a configuration and an agent. `async with` ends its agent."""

    def __init__(self, fleet: Fleet, name: str, gateway: str = "gw-1") -> None:
        self.fleet, self.gateway = fleet, gateway
        self.directory = fleet.directory / name
        self.state = self.directory / "state"
        self.socket = self.directory / "c.sock"
        self.config = self.directory / "forebay.toml"
        self.directory.mkdir(exist_ok=True)
        self.config.write_text(
            f"""
[gateway]
id = "{gateway}"
[control]
socket = "{self.socket}"
[uplinks.cloud]
kind = "grpc"
address = "{fleet.server.address}"
identity = "fleet"
backoff = {{ first = "100 ms", most = "1 s" }}
{SIMULATED}""",
            "utf-8",
        )
        self.agent = Process(
            name,
            [str(BIN / "forebay"), "run", "--json", "--config", str(self.config)],
            fleet.directory,
        )
        self.agent.environment["FOREBAY_STATE"] = str(self.state)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.agent.kill()

    async def forebay(self, *words: str, stdin: str = "", **environment: str) -> Ended:
        """Run a `forebay` command on this box with --json."""
        given = {"FOREBAY_STATE": str(self.state), "FOREBAY_SOCKET": str(self.socket)}
        return await command(
            BIN / "forebay", *words, "--json", stdin=stdin, **(given | environment)
        )

    async def enroll(self, token: str, **environment: str) -> Ended:
        """Enroll with the id of the configuration; the token goes in by standard input."""
        return await self.forebay(
            *("fleet", "enroll", "--server", self.fleet.enrollment),
            *("--token", "-", "--config", str(self.config)),
            stdin=token + "\n",
            **environment,
        )

    @property
    def identity(self) -> Identity:
        """What it holds now."""
        found = current(self.state, SystemDisk())
        assert found is not None
        return found

    def copy(self, name: str) -> Box:
        """Give another box with a copy of this one's whole disk."""
        other = Box(self.fleet, name, self.gateway)
        shutil.copytree(self.state, other.state)
        return other

    def told(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Give the agent's log lines of an event."""
        lines = [json.loads(line) for line in self.agent.text().splitlines() if line[:1] == "{"]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    async def ledger(self) -> dict[str, int]:
        """Give the sums of the agent's own account of its uplink."""
        lines = (await self.forebay("ledger")).document()["lines"]
        parts = ("produced", "delivered", "pending", "gapped", "quarantined")
        return {part: sum(line[part] for line in lines) for part in parts}

    async def until_uplink(self, state: str, condition: Callable[[Any], object] = bool) -> Any:
        """Wait until the uplink has this state, and whatever else `condition` says of it."""
        async with asyncio.timeout(60.0):
            while True:
                ended = await self.forebay("uplinks")
                uplinks = ended.document().get("uplinks", []) if ended.out.strip() else []
                if uplinks and uplinks[0]["state"] == state and condition(uplinks[0]):
                    return uplinks[0]
