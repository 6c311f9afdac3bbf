"""A plugin's process that behaves as the file `manner` beside it says: `python odd_plugin.py`.

It speaks `plugin.proto` without an SDK, because it must break it. The manner is read at the start;
rewriting the file is how a test repairs the plugin.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import numpy as np

from forebay._proto import plugin_pb2 as pb
from forebay._proto import plugin_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POISON = 1e6
"""A window whose first value is this is what manner `poisoned` dies of."""
TIRED_AFTER = 5
HERE = Path(__file__).parent


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def column(values: list[float], windows: list[int]) -> pb.OutputColumn:
    """Samples of the first output, all at the beginning of time if a window has several."""
    several = len(set(windows)) < len(windows)
    return pb.OutputColumn(
        times=np.zeros(len(values), "<i8").tobytes() if several else b"",
        values=np.array(values, "<f8").tobytes(),
        windows=np.array(windows, "<u4").tobytes(),
    )


def answer(work: pb.Work) -> pb.Results:
    """Give the sum of each window's first series."""
    values = np.frombuffer(work.series[0].values, "<f8")
    rows = np.frombuffer(work.windows.rows, "<u4").reshape(-1, len(work.axes), 2)
    spans = rows[:, work.series[0].axis].tolist()
    totals = [float(values[first : first + count].sum()) for first, count in spans]
    return pb.Results(work_id=work.id, columns=[column(totals, list(range(len(totals))))])


def has_poison(work: pb.Work) -> bool:
    return bool((np.frombuffer(work.series[0].values, "<f8") == POISON).any())


def eat() -> None:
    """Take memory until it is refused or something ends us."""
    held = []
    while True:
        held.append(bytearray(os.urandom(64)) * (1 << 18))


def hoard() -> None:
    """Fill memory that belongs to no process: files without a name or a place."""
    held = []
    while True:
        held.append(os.memfd_create("x"))
        os.write(held[-1], bytes(1 << 22))


def fill() -> None:
    """Fill the disk with files that are small, one by one."""
    state = Path(os.environ["FOREBAY_PLUGIN_STATE"])
    for number in range(1 << 20):
        (state / str(number)).write_bytes(bytes(1 << 16))


def breed() -> None:
    """Become as many processes as can be had; those that were refused stay."""
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.2)


def chatter() -> None:
    """Print as fast as the pipe takes it."""
    line = b"x" * 199 + b"\n"
    while True:
        os.write(1, line * 5000)


def daemonize() -> None:
    """Leave a grandchild in a session of its own that outlives its parents."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()


def explore() -> dict[str, str]:
    """Try what a plugin has no business with; say how each went."""
    found = {"uid": str(os.getuid()), "home": os.environ.get("HOME", "")}
    for name, address in (("loopback", "127.0.0.1"), ("outside", "192.0.2.1")):
        try:
            port = int((HERE / "port").read_text()) if name == "loopback" else 80
            socket.create_connection((address, port), timeout=2).close()
            found[name] = "connected"
        except OSError as error:
            found[name] = type(error).__name__
    for name, path in (("shadow", "/etc/shadow"), ("secret", (HERE / "secret").read_text())):
        try:
            found[name] = f"read {len(Path(path).read_bytes())}"
        except OSError as error:
            found[name] = type(error).__name__
    for name, place in (("own", HERE), ("root", Path("/")), ("usr", Path("/usr"))):
        try:
            (place / "x").write_text("x")
            found[f"write {name}"] = "written"
        except OSError as error:
            found[f"write {name}"] = type(error).__name__
    found["processes"] = str(sum(path.name.isdigit() for path in Path("/proc").iterdir()))
    found["secrets"] = str("FOREBAY_SECRET" in os.environ)
    status = Path("/proc/self/status").read_text()
    for line in status.splitlines():
        if line.startswith(("CapEff", "CapBnd", "NoNewPrivs")):
            key, _, value = line.partition(":")
            found[key] = value.strip()
    mounted = ctypes.CDLL(None).mount(b"x", b"/tmp", b"tmpfs", 0, 0) == 0
    found["mount"] = "mounted" if mounted else "refused"
    calls = {"shmget": (0, 1 << 20, 0o1600), "unshare": (0x10000000,), "msgget": (0, 0o1600)}
    for name, given in calls.items():
        called = getattr(ctypes.CDLL(None), name)(*given)
        found[name] = "refused" if called < 0 else "done"
    return found


def misbehave(manner: str, work: pb.Work, worked: int) -> None:
    """Do to the process or the machine what the manner is."""
    if manner == "poisoned" and has_poison(work):
        os.abort()
    elif manner == "hangs":
        time.sleep(3600)
    elif manner == "exits" or (manner == "tired" and worked == TIRED_AFTER):
        sys.exit(7)
    elif manner in BREAKS:
        BREAKS[manner]()


SPREADS = {"unfolds": 2 << 20, "splits": 20_000}


def spoil(manner: str, results: pb.Results) -> None:
    """Do to the results what the manner is."""
    first = results.columns[0]
    if manner == "huge":
        results.columns.append(column([0.0] * (5 << 20), [0] * (5 << 20)))
    elif manner == "floods":
        for _ in range(10_000):
            results.columns.append(column([0.0] * 10, [0] * 10))
    elif manner in SPREADS:
        results.columns.extend([pb.OutputColumn()] * SPREADS[manner])
    elif manner == "lies":
        results.work_id += 7
    elif manner == "forgets":
        first.windows = b""
        first.values = first.values[8:]
    elif manner == "invents":
        first.windows = first.windows[:-4] + b"\xe8\x03\0\0"
    elif manner == "nan":
        first.values = np.array([math.nan], "<f8").tobytes() + first.values[8:]
    elif manner == "torn":
        first.values = b"123"


BREAKS = {"eats": eat, "hoards": hoard, "fills": fill, "breeds": breed, "chatters": chatter}


class Odd:
    """One call, in one manner."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.out: asyncio.Queue[pb.FromPlugin] = asyncio.Queue(1000)
        self.worked = 0

    async def requests(self) -> AsyncIterator[pb.FromPlugin]:
        token = os.environ["FOREBAY_PLUGIN_TOKEN"] + ("x" if self.manner == "forger" else "")
        protocol = 2 if self.manner == "newer" else 1
        hello = pb.PluginHello(protocol=protocol, token=token, sdk="odd 1")
        yield pb.FromPlugin(hello=hello)
        while True:
            yield await self.out.get()

    async def work(self, work: pb.Work) -> None:
        """Answer, or do what the manner is."""
        misbehave(self.manner, work, self.worked)
        results = answer(work)
        spoil(self.manner, results)
        if self.manner == "slow":
            await asyncio.sleep(0.05)
        self.worked += 1
        for _ in range(2 if self.manner == "twice" else 1):
            await self.out.put(pb.FromPlugin(results=results))

    async def run(self) -> None:
        address = "unix:" + os.environ["FOREBAY_PLUGIN_SOCKET"]
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            call = plugin_pb2_grpc.PluginHostStub(channel).Attach(self.requests())
            async for message in call:
                kind = message.WhichOneof("message")
                if kind == "setup":
                    os.environ["FOREBAY_PLUGIN_STATE"] = message.setup.state_directory
                    if self.manner == "lazy":
                        await asyncio.sleep(3600)
                    facts = explore() if self.manner == "explores" else {"manner": self.manner}
                    facts["state"] = message.setup.state_directory
                    await self.out.put(pb.FromPlugin(ready=pb.Ready(detail="odd", facts=facts)))
                elif kind == "work":
                    await self.work(message.work)
                elif kind == "ping" and self.manner != "deaf":
                    await self.out.put(pb.FromPlugin(pong=pb.Pong(id=message.ping.id)))
                elif kind == "stop" and self.manner != "stubborn":
                    say(f"stopping: {message.stop.reason}")
                    return


def main() -> None:
    manner = (HERE / "manner").read_text(encoding="utf-8").strip()
    say(f"manner {manner}")
    if manner == "stillborn":
        sys.exit("no model")
    if manner == "mute":
        time.sleep(3600)
    if manner == "daemon":
        daemonize()
    asyncio.run(Odd(manner).run())


if __name__ == "__main__":
    main()
