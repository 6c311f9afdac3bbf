"""A host of one plugin process, for tests: the real command, socket and protocol, no sandbox.

Owns the process, its server and what they wait for. Must not know what is asked of the plugin.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Self

import grpc

from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin._proto import plugin_pb2_grpc
from forebay_plugin.serving import PROTOCOL, SOCKET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

MESSAGE_BYTES_MAX = 256 * 1024 * 1024
MESSAGES_MAX = 64
LOG_CHARS = 4000
_TICK_S = 0.05


class HostError(Exception):
    """The plugin did not do in time what the protocol asks for, or ended; with what it wrote."""


class _Servicer(plugin_pb2_grpc.PluginHostServicer):
    """The gateway's end of the stream."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.incoming: Queue[pb.FromPlugin] = Queue(MESSAGES_MAX)
        self.outgoing: Queue[pb.ToPlugin | None] = Queue(MESSAGES_MAX)
        self.refused = threading.Event()

    def Attach(  # noqa: N802 - named by the protocol
        self, request_iterator: Iterator[pb.FromPlugin], context: grpc.ServicerContext
    ) -> Iterator[pb.ToPlugin]:
        """Refuse a wrong hello; else hand messages both ways until the host has no more."""
        hello = next(request_iterator).hello
        if not secrets.compare_digest(hello.token, self.token):
            self.refused.set()
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not the process that was started")
        if hello.protocol != PROTOCOL:
            self.refused.set()
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"protocol {PROTOCOL} is spoken")
        self.incoming.put(pb.FromPlugin(hello=hello))
        reader = threading.Thread(
            target=self._read, args=(request_iterator,), name="plugin reader", daemon=True
        )
        reader.start()
        while (message := self.outgoing.get()) is not None:
            yield message
        reader.join()  # what the plugin still says is taken before its stream ends

    def _read(self, messages: Iterator[pb.FromPlugin]) -> None:
        with suppress(grpc.RpcError):  # the process is gone: who waits for it sees that
            for message in messages:
                self.incoming.put(message)
        self.outgoing.put(None)


class PluginProcess:
    """One plugin process and the host that it speaks to.

    Args:
        command: what is run.
        directory: where it is run.
        token: what the process is given; the host expects `expected` if that is set.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, *, expected: str | None = None
    ) -> None:
        self._command, self._directory = list(command), directory
        self._token = secrets.token_hex(16)
        self._servicer = _Servicer(expected or self._token)
        self._folder = tempfile.TemporaryDirectory(prefix="forebay-plugin-")
        self.state = Path(self._folder.name) / "state"
        self._log = Path(self._folder.name) / "log"
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="plugin host")
        self._server = grpc.server(
            self._pool,
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ],
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.state.mkdir()
        socket = Path(self._folder.name) / "socket"
        plugin_pb2_grpc.add_PluginHostServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(f"unix:{socket}")
        self._server.start()
        clean = {key: text for key, text in os.environ.items() if not key.startswith("FOREBAY_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the plugin under test
                self._command,
                cwd=self._directory,
                env=clean | self._path() | {SOCKET: str(socket), TOKEN: self._token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def _path(self) -> dict[str, str]:
        """Its own `src` goes before what is installed, as with the gateway."""
        source = self._directory / "src"
        return {"PYTHONPATH": str(source)} if source.is_dir() else {}

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        process = self.process
        if process.poll() is None:
            process.kill()
        process.wait()
        self._servicer.outgoing.put(None)
        self._server.stop(0).wait()
        self._pool.shutdown()
        self._folder.cleanup()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; only inside of `with`."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """The end of what it wrote on stdout and stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-LOG_CHARS:]

    def say(self, message: pb.ToPlugin) -> None:
        """Send without waiting for an answer."""
        self._servicer.outgoing.put(message)

    def hear(self, wanted: str, timeout_s: float) -> pb.FromPlugin:
        """Wait for the next message, which must be of the kind `wanted`.

        Raises:
            HostError: another came, none in time, or the process ended.
        """
        end = time.monotonic() + timeout_s
        while True:
            with suppress(Empty):
                message = self._servicer.incoming.get(timeout=_TICK_S)
                kind = message.WhichOneof("message")
                if kind != wanted:
                    raise HostError(f"{kind} came where {wanted} was due")
                return message
            code = self.process.poll()
            if code is not None and self._servicer.incoming.empty():
                raise HostError(f"ended with {code} before {wanted}:\n{self.log}")
            if time.monotonic() > end:
                raise HostError(f"no {wanted} within {timeout_s:g} s:\n{self.log}")

    def attach(self, setup: pb.Setup, timeout_s: float) -> pb.Ready:
        """Wait for its hello, set it up, wait until it is ready."""
        self.hear("hello", timeout_s)
        self.say(pb.ToPlugin(setup=setup))
        return self.hear("ready", timeout_s).ready

    def ask(self, work: pb.Work, timeout_s: float) -> pb.Results:
        """Send work and wait for its results."""
        self.say(pb.ToPlugin(work=work))
        return self.hear("results", timeout_s).results

    def ended(self, timeout_s: float) -> int:
        """Wait for its end; give the exit code, negative for a signal.

        Raises:
            HostError: it did not end.
        """
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise HostError(f"has not ended within {timeout_s:g} s:\n{self.log}") from None

    def stop(self, timeout_s: float, reason: str = "end of the test") -> int:
        """Ask it to end as the gateway does; give its exit code."""
        self.say(pb.ToPlugin(stop=pb.Stop(reason=reason)))
        return self.ended(timeout_s)

    def until(self, condition: Callable[[], object], timeout_s: float) -> None:
        """Wait for `condition`. Raises HostError if it does not come, or the process ends."""
        end = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise HostError(f"it did not come to what was waited for:\n{self.log}")
            time.sleep(_TICK_S)

    def vanish(self) -> None:
        """End the host's side at once, as if it had been killed."""
        self._server.stop(0).wait()

    @property
    def was_refused(self) -> bool:
        """Whether the host refused its hello."""
        return self._servicer.refused.is_set()
