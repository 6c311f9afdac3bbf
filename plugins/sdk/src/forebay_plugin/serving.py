"""The life of a plugin process: attach to the host, be set up, work, end.

Owns the stream, signals and exit codes. One thread works; gRPC's own threads carry bytes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from importlib import metadata
from queue import Queue
from socket import socketpair
from threading import Lock, Thread, Timer
from typing import TYPE_CHECKING, NoReturn, Protocol

import grpc

from forebay_plugin import wire
from forebay_plugin._proto import plugin_pb2 as pb
from forebay_plugin._proto import plugin_pb2_grpc
from forebay_plugin.answers import Answers
from forebay_plugin.plugin import Plugin, PluginError, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from forebay_plugin.plugin import Results, Setup
    from forebay_plugin.window import Window

PROTOCOL = 1
SOCKET = "FOREBAY_PLUGIN_SOCKET"
TOKEN = "FOREBAY_PLUGIN_TOKEN"  # noqa: S105 - the variable's name
WORK_BYTES_MAX = 256 * 1024 * 1024
"""Of one message from the host. It sends less; this only ends what has gone mad."""
ANSWERS_MAX = 64
"""Messages that may wait for gRPC: the host has fewer questions open than this."""
DRAIN_S = 5.0

FAILED, NOT_STARTED = 1, 2
log = logging.getLogger("forebay_plugin")


class _Call(Protocol):
    """What gRPC gives for a stream both ways; its stubs know only the half of it."""

    def __iter__(self) -> Iterator[pb.ToPlugin]: ...
    def cancel(self) -> bool: ...


def serve(plugin: type[Plugin]) -> NoReturn:
    """Be the plugin process: attach to the host that started it, work, and exit.

    Exit codes: 0 the host ended it or SIGTERM came; 1 `setup` failed, the host refused or broke the
    protocol, or it went away; 2 no host started this process. What went wrong is said on stderr,
    where the host keeps it.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    socket, token = os.environ.get(SOCKET), os.environ.get(TOKEN)
    if not socket or not token:
        log.error(
            "%s and %s are not set: a plugin is started by the gateway; "
            "try it without one by python -m forebay_plugin.conformance PATH/plugin.toml",
            SOCKET,
            TOKEN,
        )
        sys.exit(NOT_STARTED)
    options = [
        ("grpc.max_receive_message_length", WORK_BYTES_MAX),
        ("grpc.max_send_message_length", WORK_BYTES_MAX),
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(f"unix:{os.path.abspath(socket)}", options) as channel:  # noqa: PTH100 - a name for gRPC
        sys.exit(_Session(plugin(), token).run(channel))


class _Session:
    """One stream with the host."""

    def __init__(self, plugin: Plugin, token: str) -> None:
        self._plugin, self._token = plugin, token
        self._answers: Queue[pb.FromPlugin | None] = Queue(ANSWERS_MAX)
        self._setup: Setup | None = None
        self._turn, self._stopping = Lock(), False
        """Held while a message is worked on."""

    def run(self, channel: grpc.Channel) -> int:
        """Follow the protocol to its end; give the exit code."""
        sdk = f"forebay-plugin {metadata.version('forebay-plugin')}"
        hello = pb.PluginHello(protocol=PROTOCOL, token=self._token, sdk=sdk)
        self._answers.put(pb.FromPlugin(hello=hello))
        call = plugin_pb2_grpc.PluginHostStub(channel).Attach(self._outgoing())
        _on_sigterm(lambda: self._leave(call))
        try:
            return self._follow(call)
        except grpc.RpcError as gone:
            if self._stopping:
                return 0
            log.error("the host ended the stream: %s", _told(gone))  # noqa: TRY400 - its traceback says nothing
            return FAILED
        except wire.ProtocolError as broken:
            log.error("the host broke the protocol: %s", broken)  # noqa: TRY400 - as above
            return FAILED
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._answers.put(None)
            if self._setup is not None:
                self._plugin.close()
            _drain(call)

    def _follow(self, call: _Call) -> int:
        for message in call:
            with self._turn:
                code = None if self._stopping else self._take(message)
            if code is not None:
                return code
        return 0

    def _take(self, message: pb.ToPlugin) -> int | None:
        """Do what the host says; give the exit code if that is the end."""
        kind = message.WhichOneof("message")
        if kind == "work":
            self._answers.put(pb.FromPlugin(results=self._work(message.work)))
        elif kind == "ping":
            self._answers.put(pb.FromPlugin(pong=pb.Pong(id=message.ping.id)))
        elif kind == "setup":
            ready = self._set_up(message.setup)
            if ready is None:
                return FAILED
            self._answers.put(pb.FromPlugin(ready=ready))
        elif kind == "stop":
            log.info("ended by the host: %s", message.stop.reason or "no reason given")
            return 0
        return None

    def _set_up(self, message: pb.Setup) -> pb.Ready | None:
        setup = wire.to_setup(message)
        try:
            facts = self._plugin.setup(setup)
        except PluginError as told:
            log.error("setup failed: %s", told)  # noqa: TRY400 - the message says enough
            return None
        except Exception as error:
            log.exception("setup failed: %s", type(error).__name__)
            return None
        self._setup = setup
        return pb.Ready(facts={key: str(value) for key, value in (facts or {}).items()})

    def _work(self, work: pb.Work) -> pb.Results:
        if self._setup is None:
            raise wire.ProtocolError("work before setup")
        windows = wire.to_windows(work, self._setup.inputs)
        answers = worked(self._plugin, windows, self._setup)
        return answers.message(work.id, self._setup.max_message_bytes)

    def _outgoing(self) -> Iterator[pb.FromPlugin]:
        while (message := self._answers.get()) is not None:
            yield message

    def _leave(self, call: _Call) -> None:
        """Take up nothing more; what is worked on goes out first: its results are not wasted."""
        with self._turn:
            self._stopping = True
        log.info("ended by SIGTERM")
        self._answers.put(None)
        _cancel_later(call)


def _on_sigterm(then: Callable[[], None]) -> None:
    """Have a thread of its own do `then` when SIGTERM comes.

    Nothing is done in the handler: it runs within whatever the main thread is at, and what it
    raised there could leave a lock of gRPC taken for ever.
    """
    told, tells = socketpair()
    tells.setblocking(False)  # noqa: FBT003 - its only form

    def wait() -> None:
        while told.recv(1) != bytes([signal.SIGTERM]):
            pass
        then()
        told.close()

    Thread(target=wait, name="sigterm", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(tells.detach(), warn_on_full_buffer=False)


def worked(plugin: Plugin, windows: Sequence[Window], setup: Setup) -> Answers:
    """Have `plugin` work on `windows`, each failure contained in its own window."""
    answers = Answers(windows, setup.outputs)
    if type(plugin).process_many is not Plugin.process_many and len(windows) > 1:
        try:
            given = plugin.process_many(windows)
        except Exception as error:  # noqa: BLE001 - the windows are tried alone, and say it again
            log.info("process_many failed, so each window is tried alone: %s", _line(error))
        else:
            if len(given) == len(windows):
                if not isinstance(given, Table) or not _whole(answers, given):
                    for place, results in enumerate(given):
                        _answer(answers, place, partial(_same, results))
                return answers
            log.warning("process_many gave %d for %d windows", len(given), len(windows))
    for place, window in enumerate(windows):
        _answer(answers, place, partial(_alone, plugin, window))
    return answers


def _whole(answers: Answers, table: Table) -> bool:
    """Take a table as it is; False if something in it is wrong: its windows say what, each."""
    try:
        answers.add_table(table)
    except ValueError:
        return False
    return True


def _same(results: Results) -> Results:
    return results


def _alone(plugin: Plugin, window: Window) -> Results:
    return plugin.process_many([window])[0]


def _answer(answers: Answers, place: int, give: Callable[[], Results]) -> None:
    try:
        answers.add(place, give())
    except PluginError as told:
        answers.fail(place, str(told))
    except Exception as error:
        log.exception("a window failed")
        answers.fail(place, _line(error))


def _drain(call: _Call) -> None:
    """Let what was answered go out: wait for the host to end the stream, for a while."""
    late = _cancel_later(call)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass  # ended, one way or the other; why was told
    finally:
        late.cancel()


def _cancel_later(call: _Call) -> Timer:
    late = Timer(DRAIN_S, call.cancel)
    late.daemon = True
    late.start()
    return late


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _told(error: grpc.RpcError) -> str:
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    return f"{code().name}: {details()}" if code and details else str(error)
