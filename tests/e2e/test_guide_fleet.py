"""The guide to a fleet, typed line by line; only the ports and the token are others."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay.testing.modbus_server import ModbusServer
from support.processes import BIN, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GUIDES = Path(__file__).resolve().parents[2] / "docs/guides"
LASTING = ("forebay-fleet serve", "forebay run")


class Typist:
    """Somebody who types what the guide shows, in one directory."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.log = folder / "lasting.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
        self._environ = clean | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    async def type(self, line: str) -> tuple[int, str]:
        """Run one line; give its exit code and output, or 0 and nothing for what lasts."""
        if line.startswith("export "):
            for name, value in re.findall(r"(\w+)=(\S+)", line):
                self._environ[name] = value.replace("$PWD", str(self.folder))
            return 0, ""
        lasts = line.startswith(LASTING)
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *line.split(),
                cwd=self.folder,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log if lasts else asyncio.subprocess.PIPE,
                stderr=log if lasts else asyncio.subprocess.STDOUT,
            )
        if lasts:
            self._stack.push_async_callback(ended, process)
            return 0, ""
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def until(self, line: str, good: Callable[[str], object]) -> str:
        """Run one line again and again until it succeeds with an output that is good."""
        seen = ""
        try:
            async with asyncio.timeout(60):
                while True:
                    code, seen = await self.type(line)
                    if code == 0 and good(seen):
                        return seen
        except TimeoutError:
            pytest.fail(f"{line}: never good; last seen:\n{seen}\n{self.log.read_text()}")


async def ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def blocks(guide: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", guide, re.DOTALL)


def watts(area: str, address: int) -> int:
    """Give the halves of the float32 12345.0, the high one at even addresses."""
    del area
    return 0xE400 if address % 2 else 0x4640


def nothing_more(_: str) -> bool:
    return True


async def test_a_fleet_of_boxes(tmp_path: Path) -> None:
    first, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "fleet"))
    ports = {"7443": str(free_port()), "7444": str(free_port())}

    def ours(text: str) -> str:
        return re.sub("7443|7444", lambda found: ports[found[0]], text)

    good: dict[str, Callable[[str], object]] = {
        "forebay uplinks": lambda text: "connected" in text,
        "forebay fleet status": lambda text: "certificate  number 1" in text,
        "forebay-fleet gateways --data fleet": lambda text: "first-box" in text,
        # Until the server has told the registry where it listens.
        "forebay-fleet token create --data fleet --for 24h --gateway first-box": nothing_more,
    }
    async with ModbusServer(watts) as meter, AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        toml, csv = blocks(first, "toml")[0], blocks(first, "csv")[0]
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        (tmp_path / "forebay.toml").write_text(toml + ours(blocks(guide, "toml")[0]), "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        lines = "".join(blocks(guide, "console")).splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")]
        assert len(typed) == 15
        done: dict[str, str] = {}
        for line in typed:
            text = ours(line)
            if "--token TOKEN" in line:
                said = done["forebay-fleet token create --data fleet --for 24h --gateway first-box"]
                printed = said.splitlines()[-1]
                assert f"{printed} --config forebay.toml".startswith(text.partition("TOKEN")[0])
                text = f"{printed} --config forebay.toml"
            if line in good:
                done[line] = await typist.until(text, good[line])
                continue
            code, done[line] = await typist.type(text)
            assert code == 0, f"{text}\n{done[line]}"
        await typist.until(
            "forebay-fleet gateways --data fleet", lambda said: "REVOKED" not in said
        )
    enrolled = next(said for line, said in done.items() if line.startswith("forebay fleet enroll"))
    shown = blocks(guide, "console")[3].splitlines()[-3:]
    numbers = re.compile(r"[\d:TZ-]{20}|\d\d+(\.\d+)?|7443")
    assert [numbers.sub("N", ours(line)) for line in shown] == [
        numbers.sub("N", line) for line in enrolled.splitlines()
    ]
    checked = done["forebay check forebay.toml"]
    assert checked in guide
