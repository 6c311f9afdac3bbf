"""The demo from its first process to its verdict.

Owns the order of things and the outage. Must not know protocols: it starts programs and asks the
agent's control socket.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.cli.demo import page
from forebay.cli.demo.processes import DemoFailed, Worker, clean
from forebay.cli.demo.screen import Picture, Watch, line, render, save_svg
from forebay.cli.demo.verdict import Verdict, judge, last_account
from forebay.control.client import AgentClient
from forebay.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GATEWAY = "demo-line"
OUTAGE_FROM, OUTAGE_TO = 0.35, 0.65
"""The part of the demo's time in which the server is dead."""
FAULT_FROM, FAULT_TO = 0.5, 0.8
"""The part in which one phase of the meter carries less: it begins while the server is dead."""
PLUGIN, INSTANCE = "forebay_anomaly", "watch"
RUNTIME = "onnxruntime"
FRAME_S = 0.25
SECONDS = 60.0


class Demo:
    """One run of the demo in its own directory."""

    def __init__(self, directory: Path, seconds: float, show: Callable[[Picture], None]) -> None:
        self._directory, self._show = directory, show
        plugin = _plugin()
        self._picture = Picture(seconds=seconds, watch=Watch() if plugin else None)
        self._began_s = math.inf  # until all are ready
        self._port = _free_port()
        self._store = directory / "server"
        self.page = page.offered(_free_port())
        certificates = directory / "certificates"
        self.plant = Worker(
            "plant", [_python(), "-m", "forebay.testing.plant", "--config-dir", str(directory),
                      "--uplink", f"127.0.0.1:{self._port}", "--certificates", str(certificates),
                      "--gateway", GATEWAY,
                      *(["--plugin", str(plugin)] if plugin else [])], directory
        )  # fmt: skip
        self.server = Worker(
            "server", [_fleet(), "serve", "--data", str(self._store),
                       "--listen", f"127.0.0.1:{self._port}",
                       "--cert", str(certificates / "server.crt"),
                       "--key", str(certificates / "server.key"),
                       "--client-ca", str(certificates / "ca.crt"),
                       *(["--web", self.page.listen] if self.page else [])], directory
        )  # fmt: skip
        config = directory / "forebay.toml"
        self.agent = Worker(
            "agent", [_forebay(), "run", "--json", "--config", str(config)], directory
        )

    @property
    def watch(self) -> Watch | None:
        """What the plugin said, and of what; None if there was none."""
        return self._picture.watch

    def play(self) -> Verdict:
        """Play the demo to its end. DemoFailed if a part does not do its own."""
        with ExitStack() as stack:
            for worker in (self.plant, self.server, self.agent):
                stack.callback(worker.kill)
            self._start()
            seconds = self._picture.seconds
            self._watch(seconds * OUTAGE_FROM, "polling and forwarding")
            self.server.kill()
            self._watch(seconds * OUTAGE_TO, "OUTAGE: the server was killed")
            self.server.start()
            self._watch(seconds, "the server is back: catching up")
            self._picture.phase = "stopping: polls end, the journal drains"
            self.agent.stop(self._frame)
            self.server.stop(lambda: None)
            return judge(last_account(self.agent.log), self._server_ledger())

    def _start(self) -> None:
        certificates = self._directory / "certificates"
        _ask([_fleet(), "ca", "init", str(certificates)])
        for whose in (["--host", "127.0.0.1"], ["--gateway", GATEWAY]):
            _ask([_fleet(), "ca", "issue", str(certificates), *whose])
        if self.page is not None:
            words = ["user", "add", page.USER, "--role", "operator", "--data", str(self._store)]
            _ask([_fleet(), *words], told=self.page.password)
        self._picture.phase = "starting PLCs, server and agent"
        self.plant.start()
        self.server.start()
        self._frame()
        self.plant.await_ready((self._directory / "forebay.toml").exists)
        self.server.await_ready(lambda: _listens(self._port))
        self.agent.start()
        self.agent.await_ready(lambda: bool(self._ask_agent(lambda agent: agent.status().devices)))
        self._began_s = time.monotonic()

    def _watch(self, until_s: float, phase: str) -> None:
        """Show what happens until the demo is `until_s` old."""
        self._picture.phase = phase
        while time.monotonic() - self._began_s < until_s:
            for worker in (self.plant, self.agent):
                if not worker.running:
                    raise DemoFailed(
                        f"{worker.name} ended:\n{worker.tail()}", hint="see the log above"
                    )
            self._frame()
            time.sleep(FRAME_S)

    def _frame(self) -> None:
        picture = self._picture
        picture.elapsed_s = max(0.0, time.monotonic() - self._began_s)
        picture.server_up = self.server.running
        if picture.watch is not None:
            self._weaken(picture.watch)
        self._ask_agent(self._update)
        self._show(picture)

    def _weaken(self, watch: Watch) -> None:
        """Inject the fault when its time has come, and mend it."""
        part = self._picture.elapsed_s / self._picture.seconds
        if watch.injected_s is None and part >= FAULT_FROM:
            watch.injected_s = self._picture.elapsed_s
            self.plant.tell(signal.SIGUSR1)
        if part >= FAULT_TO:
            self.plant.tell(signal.SIGUSR2)

    def _look(self, agent: AgentClient, watch: Watch) -> None:
        """Ask what the plugin says."""
        for status in agent.plugins().plugins:
            watch.state, watch.windows_per_s = status.state, status.windows_per_s
        values = {
            tag.name: tag for tag in agent.read([f"{INSTANCE}/score", f"{INSTANCE}/alarm"]).tags
        }
        if values["score"].WhichOneof("value"):
            watch.score = values["score"].double_value
        watch.alarm = values["alarm"].bool_value
        if watch.alarm and watch.injected_s is not None and watch.flagged_s is None:
            watch.flagged_s = self._picture.elapsed_s

    def _update(self, agent: AgentClient) -> None:
        picture = self._picture
        picture.samples_per_s = agent.status().samples_per_s
        picture.devices = list(agent.devices().devices)
        for part in agent.tags():
            for tag in part.tags:
                if tag.WhichOneof("value") == "double_value":
                    picture.values.setdefault(tag.device, tag)
                    if picture.values[tag.device].name == tag.name:
                        picture.values[tag.device] = tag
        if picture.watch is not None:
            self._look(agent, picture.watch)
        picture.commit_p99_ms = agent.journal_status().commit_p99_ms
        ledger = agent.ledger().lines
        picture.produced = sum(entry.produced for entry in ledger)
        picture.delivered = sum(entry.delivered for entry in ledger)
        picture.pending = sum(entry.pending for entry in ledger)
        picture.backlog.append(picture.pending)
        del picture.backlog[:-1000]

    def _ask_agent(self, question: Callable[[AgentClient], Any]) -> Any:  # noqa: ANN401 - the question's answer
        """Ask the agent; None while it does not listen, as at start and end."""
        try:
            with AgentClient(self._directory / "control.sock") as agent:
                return question(agent)
        except ControlError:
            return None

    def _server_ledger(self) -> dict[str, Any]:
        """Give what the server found when it read back, decoded and compared all that it stored."""
        words = ["ledger", "--data", str(self._store), "--verify", "--json"]
        found: dict[str, Any] = json.loads(_ask([_fleet(), *words]))["verified"]
        return {"samples": found["samples"], "duplicates": found["duplicate_samples"]}


def main(args: Sequence[str]) -> int:
    """Play the demo as `args` say; give 0 only if everything produced was delivered once."""
    options = _parse(args)
    directory = Path(tempfile.mkdtemp(prefix="forebay-demo-"))
    try:
        verdict, watch = _play(directory, options)
    except DemoFailed as error:
        print(f"the demo failed: {error}\n{error.hint}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"kept in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    if not options.json:
        _conclude(verdict, watch)
    print(verdict.as_json())
    return 0 if verdict.balanced else 1


def _play(directory: Path, options: argparse.Namespace) -> tuple[Verdict, Watch | None]:
    with ExitStack() as stack:
        show: Callable[[Picture], None]
        if options.json:
            show = _nothing
        elif sys.stdout.isatty():
            from rich.live import Live

            live = stack.enter_context(Live(refresh_per_second=8))
            show = lambda picture: live.update(render(picture))  # noqa: E731 - one line, used once
        else:
            show = _Lines()
        if options.picture:
            show = _photographed(show, options.picture)
        demo = Demo(directory, options.seconds, show)
        if demo.page is not None and not options.json:
            print(demo.page.said(), flush=True)
        return demo.play(), demo.watch


def _nothing(picture: Picture) -> None:
    """Show nothing."""
    del picture


def _photographed(show: Callable[[Picture], None], path: Path) -> Callable[[Picture], None]:
    """Show as before, and keep a picture of the outage."""

    def both(picture: Picture) -> None:
        show(picture)
        if picture.pending and not picture.server_up:
            save_svg(picture, path)

    return both


class _Lines:
    """Prints about one line a second where there is no terminal to draw on."""

    def __init__(self) -> None:
        self._last_s = -1.0

    def __call__(self, picture: Picture) -> None:
        if time.monotonic() - self._last_s >= 1.0:
            self._last_s = time.monotonic()
            print(line(picture), flush=True)


def _conclude(verdict: Verdict, watch: Watch | None) -> None:
    words = (
        "balances: everything produced was delivered once"
        if verdict.balanced
        else "DOES NOT BALANCE"
    )
    print(
        f"\nThe ledger {words}.\n"
        f"  produced  {verdict.produced:>12,d} samples, durable in the agent's journal\n"
        f"  delivered {verdict.delivered:>12,d} samples, decoded from the server's store\n"
        f"  pending   {verdict.pending:>12,d}\n"
        f"  gapped    {verdict.gapped:>12,d}\n"
        f"  duplicates{verdict.duplicates:>12,d}"
    )
    if watch is not None and watch.flagged_s is not None and watch.injected_s is not None:
        print(
            f"A phase of the meter was weakened at {watch.injected_s:.1f} s, with the server away; "
            f"the plugin flagged it {watch.flagged_s - watch.injected_s:.1f} s later."
        )
    elif watch is not None:
        print(
            "The anomaly was not flagged: "
            + ("the plugin was still learning." if watch.score is None else "it was NOT seen.")
        )


def _parse(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="forebay demo", description="Simulated PLCs, an agent, a fleet server and an outage."
    )
    seconds = float(os.environ.get("DEMO_SECONDS", SECONDS))
    parser.add_argument("--seconds", type=float, default=seconds, help="how long PLCs are polled")
    parser.add_argument("--json", action="store_true", help="print the ledger only")
    parser.add_argument("--picture", type=Path, help="write an SVG picture of the outage")
    parser.add_argument("--keep", action="store_true", help="keep the directory with logs and data")
    options = parser.parse_args(args)
    if not 5 <= options.seconds <= 86_400:
        parser.error("--seconds must lie between 5 and 86400")
    return options


def _plugin() -> Path | None:
    """Give the directory of the plugin that is shown; None where it, or its runtime, is missing."""
    found = find_spec(PLUGIN)
    if found is None or found.origin is None or find_spec(RUNTIME) is None:
        return None
    directory = Path(found.origin).parents[2]
    return directory if (directory / "plugin.toml").is_file() else None


def _python() -> str:
    return sys.executable


def _forebay() -> str:
    return str(Path(sys.executable).with_name("forebay"))


def _fleet() -> str:
    return str(Path(sys.executable).with_name("forebay-fleet"))


def _ask(command: Sequence[str], told: str = "") -> str:
    """Run a short command and give what it prints; DemoFailed with its complaint."""
    ran = subprocess.run(  # noqa: S603 - our own
        command,
        input=told + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=clean(os.environ),
    )
    if ran.returncode != 0:
        raise DemoFailed(f"{' '.join(command)}:\n{ran.stdout}{ran.stderr}", hint="see above")
    return ran.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
