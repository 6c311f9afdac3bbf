"""A real fleet server in its own process, a throw-away CA, and a bare client of uplink.proto."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import google_crc32c
import grpc

from forebay_fleet._proto import batch_pb2, uplink_pb2, uplink_pb2_grpc
from forebay_fleet.certificates import init, issue_gateway, issue_server

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMAND = (str(Path(sys.executable).with_name("forebay-fleet")),)
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """What a gateway needs to reach a server: PEM files."""

    ca: Path
    certificate: Path
    key: Path


class FleetServer:
    """`with FleetServer(tmp_path) as server:` runs `forebay-fleet serve` on a port of its own.

    `kill` and `start` give a crash and a restart on the same data and the same port.
    """

    def __init__(self, directory: Path, *arguments: str, insecure: bool = False) -> None:
        """Keep certificates and data below `directory`; `arguments` are added to `serve`."""
        self.data = directory / "fleet"
        self.pki = directory / "pki"
        self.log = directory / "fleet.log"
        self.port = 0
        self._arguments = arguments
        self._insecure = insecure
        self._process: subprocess.Popen[str] | None = None
        init(self.pki, "throw-away CA")
        issue_server(self.pki, self.pki, ["localhost", "127.0.0.1"], 1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def add(self, *arguments: str) -> None:
        """Add arguments to `serve`, from its next start on."""
        self._arguments = (*self._arguments, *arguments)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server, on the same port if it ran before, and wait until it listens."""
        assert self._process is None
        files = {"cert": "server.crt", "key": "server.key", "client-ca": "ca.crt"}
        tls = [f"--{option}={self.pki / name}" for option, name in files.items()]
        command = [
            *COMMAND,
            "serve",
            *("--data", str(self.data), "--listen", self.address),
            *(["--insecure"] if self._insecure else tls),
            *self._arguments,
        ]
        with self.log.open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            self.kill()
            raise AssertionError(self.log.read_text())
        self.port = int(line.rpartition(":")[2])

    def stop(self) -> int:
        """End the server as a supervisor does; give its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until the server has ended by itself; give its exit status."""
        assert self._process is not None
        status = self._process.wait(STOP_TIMEOUT_S)
        self._close()
        return status

    def kill(self) -> None:
        """End the server as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def issue(self, gateway: str) -> ClientFiles:
        """Make a gateway certificate, once per name."""
        if not (self.pki / f"{gateway}.crt").exists():
            issue_gateway(self.pki, self.pki, gateway, 1)
        pki = self.pki
        return ClientFiles(pki / "ca.crt", pki / f"{gateway}.crt", pki / f"{gateway}.key")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `forebay-fleet ARGUMENTS --data ...` beside the server."""
        return subprocess.run(
            [*COMMAND, *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
        )

    def read_json(self, *arguments: str) -> Any:
        """Run a command with `--json` and give what it printed; AssertionError if it failed."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)


def channel(address: str, files: ClientFiles | None) -> grpc.aio.Channel:
    """Open a channel as a gateway does; plaintext without `files`."""
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)]
    if files is None:
        return grpc.aio.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    return grpc.aio.secure_channel(address, credentials, options)


class Gateway:
    """`async with Gateway(...) as gateway:` is one session; `welcome` is what answered Hello."""

    def __init__(
        self,
        address: str,
        files: ClientFiles | None,
        name: str = "press-hall-1",
        heads: Iterable[uplink_pb2.Head] = (),
        *,
        first: uplink_pb2.Record | None = None,
        boot_id: str = "boot",
    ) -> None:
        """Speak for `name`, whatever the certificate says; begin with `first` in place of Hello."""
        self._first = first
        self._channel = channel(address, files)
        self._hello = uplink_pb2.Hello(
            gateway=name, boot_id=boot_id, session=1, heads=heads, version="test"
        )
        self.welcome = uplink_pb2.Welcome()

    async def __aenter__(self) -> Self:
        stub = uplink_pb2_grpc.UplinkStub(self._channel)
        self._call = stub.Session()
        try:
            if self._first is None:
                await self.say_hello()
            else:
                await self.send(self._first)
            self.welcome = (await self.receive()).welcome
        except BaseException:
            await self._channel.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._call.cancel()
            await self._channel.close()

    async def send(self, *records: uplink_pb2.Record) -> None:
        """Send one message of records. Raises grpc.aio.AioRpcError when the session has ended."""
        await self._write(uplink_pb2.FromGateway(records=uplink_pb2.RecordGroup(records=records)))

    async def say_hello(self) -> None:
        """Say Hello; a second time breaks the protocol."""
        await self._write(uplink_pb2.FromGateway(hello=self._hello))

    async def _write(self, message: uplink_pb2.FromGateway) -> None:
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:
            await self.receive()  # raises what ended the session

    async def receive(self) -> uplink_pb2.FromServer:
        """Wait for a message. Raises grpc.aio.AioRpcError when the session has ended."""
        message = await self._call.read()
        if message is grpc.aio.EOF:
            raise grpc.aio.AioRpcError(
                await self._call.code(),
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            )
        assert isinstance(message, uplink_pb2.FromServer)
        return message

    async def ack(self) -> uplink_pb2.Ack:
        """Wait for an ack."""
        message = await self.receive()
        assert message.WhichOneof("message") == "ack"
        return message.ack

    async def ack_up_to(self, seq: int) -> uplink_pb2.Ack:
        """Wait for the ack that covers 1..seq of the one line that is being sent."""
        while (ack := await self.ack()).committed.committed_seq < seq:
            pass
        return ack

    async def finish(self) -> None:
        """Close this side, and wait until the server has closed its own."""
        await self._call.done_writing()
        while await self._call.read() is not grpc.aio.EOF:
            pass


def record(
    seq: int,
    kind: uplink_pb2.RecordKind,
    payload: bytes,
    *,
    samples: int = 0,
    stream: uplink_pb2.Stream = uplink_pb2.TELEMETRY,
    epoch: int = 1 << 32,
    times_ns: tuple[int, int] = (0, 0),
    revision: int = 0,
) -> uplink_pb2.Record:
    """Put a payload into a sound envelope."""
    return uplink_pb2.Record(
        stream=stream,
        epoch=epoch,
        seq=seq,
        kind=kind,
        revision=revision,
        samples=samples,
        time_min_ns=times_ns[0],
        time_max_ns=times_ns[1],
        crc=google_crc32c.value(payload),
        hash=hashlib.sha256(payload).digest(),
        payload=payload,
    )


def anchor(
    seq: int,
    *,
    salt: int = 0,
    stream: uplink_pb2.Stream = uplink_pb2.TELEMETRY,
    epoch: int = 1 << 32,
) -> uplink_pb2.Record:
    """Make a small sound record; another `salt` makes another one for the same position."""
    payload = batch_pb2.Anchor(boot_id=f"boot-{salt}", wall_ns=seq, monotonic_ns=seq)
    return record(seq, uplink_pb2.ANCHOR, payload.SerializeToString(), stream=stream, epoch=epoch)
