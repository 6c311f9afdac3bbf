"""`make systemd`: the units under a real systemd as PID 1, step by step.

Exit 1 if any does not hold. A machine that has never seen Forebay, the agent in it as a package
would put it, and a plugin that tries what it must not be able to do.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.shown import followed
from systemd.machine import Machine, build

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = """\
[gateway]
id = "box"

[devices.bench]
protocol = "simulated"
groups.default.period = "100 ms"

[[devices.bench.tags]]
name = "count"
address = "counter"
type = "uint32"

[plugins.prober]
path = "/opt/prober"
sandbox = "required"

[uplinks.out]
kind = "file"
directory = "/var/lib/forebay/out"
"""
AGENT, PLUGIN = "forebay.service", "forebay-plugin@prober.service"
FORBIDDEN = {
    "network": {"ConnectionRefusedError", "OSError"},
    "config": {"PermissionError"},
    "journal": {"PermissionError"},
    "control": {"PermissionError"},
    "write": {"OSError", "PermissionError"},
    "code": {"OSError", "PermissionError"},
    "agent": {"PermissionError", "ProcessLookupError"},
    "namespace": {"PermissionError", "OSError"},
}
PROPERTIES = {"TasksMax": "48", "MemoryMax": str((200 + 32) << 20), "CPUQuotaPerSecUSec": "500ms"}
SOON_S = 60.0
SCRAPE = """
import sys, urllib.error, urllib.request
asked = urllib.request.Request("http://127.0.0.1:9464/metrics")
asked.add_header("Authorization", "Bearer " + sys.argv[1])
try:
    print(urllib.request.urlopen(asked, timeout=30).status)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError:
    print(0)
"""
"""Asks for the metrics with a token, and prints the code of the answer, 0 where nobody listens."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Story:
    """The steps, on one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def tell(self) -> None:
        steps: tuple[Callable[[], str], ...] = (
            self.starts,
            self.holds_a_plugin,
            self.restarts_a_plugin,
            self.comes_back_from_kill,
            self.comes_back_from_a_hang,
            self.ends_what_eats,
            self.manages_nothing_else,
            self.has_a_secret_of_systemd,
            self.goes_on_without_a_disk,
            self.is_asked_by_fields,
            self.stops,
        )
        for step in steps:
            began = time.monotonic()
            said = step()
            name = step.__name__.replace("_", " ")
            say(f"ok  {name:24} {time.monotonic() - began:5.1f} s  {said}")
        followed("docs/guides/systemd.md")

    def starts(self) -> str:
        """Install, start; READY comes with the journal open."""
        tree, run = self.machine.tree, self.machine.run
        run("systemd-sysusers")
        run("systemctl", "daemon-reload")
        run("install", "-d", "-m", "0750", "-g", "forebay", "/etc/forebay")
        (tree / "etc/forebay/forebay.toml").write_text(CONFIG)
        shutil.copytree(Path(__file__).with_name("prober"), tree / "opt/prober")
        (tree / "opt/prober/port").write_text("1")
        (tree / "opt/prober/agent").write_text("1")
        run("systemctl", "start", AGENT)
        log = run("journalctl", "-u", AGENT, "--no-pager")
        assert "journal_opened" in log, log
        asked = ("-u", AGENT, "FOREBAY_EVENT=journal_opened", "-p", "info", "-o", "json")
        (entry,) = run("journalctl", "--no-pager", *asked).splitlines()
        told = json.loads(entry)
        assert told["FOREBAY_DIRECTORY"] == "/var/lib/forebay/journal", told
        assert told["PRIORITY"] == "6", told
        return self.machine.show(AGENT, "StatusText")

    def holds_a_plugin(self) -> str:
        """The plugin runs in its unit and can do nothing that it must not."""
        (self.machine.tree / "opt/prober/agent").write_text(self._pid())
        self.machine.until(self._works, SOON_S, "the plugin works")
        one = self._plugin()
        facts = {fact["name"]: fact["text"] for fact in one["facts"]}
        for what, allowed in FORBIDDEN.items():
            assert facts[what] in allowed, (what, facts)
        assert facts["user"] not in ("0", self.machine.run("id", "-u", "forebay")), facts
        for name, value in PROPERTIES.items():
            assert self.machine.show(PLUGIN, name) == value, (name, self.machine.show(PLUGIN, name))
        assert one["sandbox"][0] == "systemd", one
        return ", ".join(one["sandbox"])

    def restarts_a_plugin(self) -> str:
        """A plugin that is killed comes again, as the same user, and finds its state."""
        before = self.machine.show(PLUGIN, "MainPID")
        self.machine.run("systemctl", "kill", "--signal=SIGKILL", PLUGIN)
        self.machine.until(
            lambda: self._works() and self.machine.show(PLUGIN, "MainPID") not in ("0", before),
            SOON_S,
            "the plugin is back",
        )
        facts = {fact["name"]: fact["text"] for fact in self._plugin()["facts"]}
        assert int(facts["starts"]) > 1, facts
        return f"start {facts['starts']} of its state"

    def comes_back_from_kill(self) -> str:
        """Kill -9 of the agent: systemd starts it, the plugin's unit goes and comes with it."""
        before, unit = self._pid(), self.machine.show(PLUGIN, "MainPID")
        self.machine.run("kill", "-9", before)
        self.machine.until(lambda: self._pid() not in ("0", before), SOON_S, "another process")
        self.machine.until(self._works, SOON_S, "the plugin works again")
        assert self.machine.show(PLUGIN, "MainPID") != unit
        return f"restarts: {self.machine.show(AGENT, 'NRestarts')}"

    def comes_back_from_a_hang(self) -> str:
        """An agent that stands still is ended by the watchdog, and started."""
        run = self.machine.run
        self._drop_in("dog", "WatchdogSec=3")
        run("systemctl", "restart", AGENT)
        before = self._pid()
        run("kill", "-STOP", before)
        self.machine.until(lambda: self._pid() not in ("0", before), SOON_S, "another process")
        log = run("journalctl", "-u", AGENT, "--no-pager")
        assert "Watchdog timeout" in log, log[-2000:]
        self.machine.until(self._works, SOON_S, "the plugin works again")
        return "by the watchdog"

    def ends_what_eats(self) -> str:
        """A plugin that takes more memory than it may is ended, and works again when repaired."""
        (self.machine.tree / "opt/prober/eat").touch()
        self.machine.until(
            lambda: "memory" in (self._plugin() or {}).get("last_error", ""), SOON_S, "it is ended"
        )
        said = str(self._plugin()["last_error"])
        (self.machine.tree / "opt/prober/eat").unlink()
        self.machine.run("/usr/lib/forebay/bin/forebay", "plugins", "restart", "prober")
        self.machine.until(self._works, SOON_S, "the plugin works again")
        return said

    def manages_nothing_else(self) -> str:
        """The agent's user may manage its plugins' units, and nothing else."""
        own = ("setpriv", "--reuid", "forebay", "--regid", "forebay", "--clear-groups")
        run = self.machine.run
        for words in (
            ("stop", "dbus.service"),
            ("restart", AGENT),
            ("start", "forebay-plugin@../x.service"),
            ("mask", "forebay-plugin@prober.service"),
            ("set-property", "--runtime", AGENT, "MemoryMax=1G"),
            ("daemon-reload",),
        ):
            said = run(*own, "systemctl", "--no-ask-password", *words, check=False)
            assert "required" in said or "denied" in said or "nvalid" in said, (words, said)
        for unit in ("x.service", "forebay-plugin@x.service"):
            said = run(
                *own, "systemd-run", "--no-ask-password", f"--unit={unit}", "true", check=False
            )
            assert "required" in said or "denied" in said or "already" in said, (unit, said)
        run(*own, "systemctl", "--no-ask-password", "stop", "forebay-plugin@other.service")
        return "polkit lets it"

    def has_a_secret_of_systemd(self) -> str:
        """What lies encrypted in /etc is read by the agent, and by nobody beside it."""
        run, token = self.machine.run, "an-ordinary-token"
        sealed, place = "/etc/forebay/scraper.cred", f"/run/credentials/{AGENT}/scraper"
        seal = f"printf %s {token} | systemd-creds encrypt --name=scraper - {sealed}"
        run("sh", "-c", seal)
        assert token not in run("cat", sealed)
        config = self.machine.tree / "etc/forebay/forebay.toml"
        config.write_text(f'{CONFIG}\n[metrics]\nenabled = true\ntoken = "{place}"\n')
        self._drop_in("secret", f"LoadCredentialEncrypted=scraper:{sealed}")
        run("systemctl", "restart", AGENT)
        self.machine.until(lambda: self._scraped(token), SOON_S, "the metrics are served")
        assert self._scraped(token) == 200
        assert self._scraped("another-token-of-17") == 401
        other = ("setpriv", "--reuid", "nobody", "--clear-groups", "cat", place)
        assert "Permission denied" in run(*other, check=False)
        return f"{len(run('cat', sealed))} characters in {sealed}"

    def goes_on_without_a_disk(self) -> str:
        """Three starts fail as the journal cannot be written; the fourth goes on without."""
        run, journal = self.machine.run, "/var/lib/forebay/journal"
        run("systemctl", "stop", AGENT)
        run("mount", "--bind", journal, journal)
        run("mount", "-o", "remount,bind,ro", journal)
        before = int(self.machine.show(AGENT, "NRestarts"))
        run("systemctl", "start", "--no-block", AGENT)
        self.machine.until(
            lambda: (
                self.machine.show(AGENT, "ActiveState") == "active"
                and "three times" in str(self.machine.status("status"))
            ),
            SOON_S,
            "it goes on without a journal",
        )
        restarts = int(self.machine.show(AGENT, "NRestarts")) - before
        assert restarts >= 3, restarts
        assert self.machine.show(AGENT, "MainPID") == self._pid()
        status = self.machine.status("status")
        run("umount", journal)
        self.machine.until(
            lambda: "three times" not in str(self.machine.status("status") or "three times"),
            SOON_S + 60,
            "it has its journal again",
        )
        (said,) = [one for one in status["problems"] if "three times" in one]
        return f"{restarts} restarts: {said}"

    def stops(self) -> str:
        """An orderly stop leaves no unit, and the journal sealed."""
        self.machine.run("systemctl", "stop", AGENT)
        assert self.machine.show(AGENT, "Result") == "success"
        assert self.machine.show(PLUGIN, "ActiveState") in ("inactive", "failed")
        log = self.machine.run("journalctl", "-u", AGENT, "-n", "30", "--no-pager")
        assert "agent_stopped" in log, log
        return "in order"

    def is_asked_by_fields(self) -> str:
        """What happened so far is found in systemd's journal by priority, device and event."""

        def told(*asked: str) -> list[dict[str, str]]:
            lines = self.machine.run("journalctl", "-u", AGENT, *asked, "-o", "json", "--no-pager")
            return [json.loads(line) for line in lines.splitlines()]

        worse = told("-p", "warning", "--since", "today")
        assert {one["PRIORITY"] for one in worse} <= {"0", "1", "2", "3", "4"}, worse
        assert "journal_failed" in {one.get("FOREBAY_EVENT") for one in worse}, worse
        of_device = told("FOREBAY_DEVICE=bench")
        assert {one["FOREBAY_DEVICE"] for one in of_device} == {"bench"}, of_device
        lost = told("FOREBAY_EVENT=data_lost")
        assert {one["FOREBAY_CAUSE"] for one in lost} >= {"UNCLEAN_SHUTDOWN"}, lost
        return f"{len(worse)} warnings, {len(of_device)} lines of a device, {len(lost)} losses"

    def _drop_in(self, name: str, line: str) -> None:
        place = f"/run/systemd/system/{AGENT}.d"
        self.machine.run("mkdir", "-p", place)
        self.machine.run("sh", "-c", f"printf '[Service]\\n{line}\\n' >{place}/{name}.conf")
        self.machine.run("systemctl", "daemon-reload")

    def _scraped(self, token: str) -> int:
        """Ask for the metrics with a token; give the code of the answer, 0 for nobody there."""
        return int(self.machine.run("/usr/lib/forebay/bin/python", "-c", SCRAPE, token))

    def _pid(self) -> str:
        return self.machine.show(AGENT, "MainPID")

    def _plugin(self) -> dict[str, Any]:
        answer = self.machine.status("plugins", "ls") or {}
        found = answer.get("plugins") or [{}]
        return dict(found[0])

    def _works(self) -> bool:
        one = self._plugin()
        return one.get("state") == "running" and one.get("windows", 0) > 0


def main() -> int:
    if os.geteuid() != 0:
        say("make systemd needs root: it boots a container")
        return 1
    with Machine(build()) as machine:
        try:
            Story(machine).tell()
        except AssertionError:
            say(machine.run("journalctl", "-b", "-n", "60", "--no-pager", check=False)[-6000:])
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
