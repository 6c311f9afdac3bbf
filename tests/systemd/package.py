"""`make package-test`: the Debian package on a Debian that has never seen Forebay, step by step.

Exit 1 if any does not hold. systemd is PID 1 there; a fleet server of this clone runs beside it,
in the same network. `scripts/deb` has made the package before.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from systemd.machine import CACHE, ROOT, Machine, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

[uplinks.cloud]
kind = "grpc"
address = "127.0.0.1:7443"
ca = "/etc/forebay/tls/ca.crt"
cert = "/etc/forebay/tls/box.crt"
key = "/etc/forebay/tls/box.key"
"""
AGENT, TOML = "forebay.service", "/etc/forebay/forebay.toml"
LIBRARIES = "import aiomqtt, asyncua, grpc, numpy, pyarrow.parquet, serial, uvloop, forebay_plugin"
KEEP = ("-o", "Dpkg::Options::=--force-confold")
"""What somebody has written stays, and what the package would write lies beside it."""
CHANGING = re.compile(
    r"(proc|sys|dev|run|tmp|root|var/log|var/cache|var/tmp|var/lib/(apt|systemd))(/|$)"
    r"|var/lib/dpkg/([^/]*-old|lock.*|triggers/.*)$|etc/(passwd|group|shadow|gshadow)-$"
    r"|etc/\.pwd\.lock$|var/lib/dpkg/info/format$"
)
"""What of a machine is not the same from one minute to the next, whoever installs what."""
ACCOUNTS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")
SOON_S = 60.0
FLEET = str(Path(sys.executable).with_name("forebay-fleet"))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def lies_in(tree: Path) -> set[str]:
    """Give every path of a machine but those that change by themselves."""
    found = set()
    for folder, folders, files in os.walk(tree):
        at = Path(folder).relative_to(tree)
        folders[:] = [one for one in folders if not CHANGING.match(str(at / one))]
        names = [str(at / one) for one in (*files, *folders)]
        found |= {one for one in names if not CHANGING.match(one)}
    return found


def made_newer(package: Path, out: Path) -> str:
    """Make a newer version of a package, whose configuration is another one; give its version."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        inside = Path(folder) / "package"
        subprocess.run(["dpkg-deb", "-R", str(package), str(inside)], check=True)
        control = inside / "DEBIAN/control"
        text = control.read_text("utf-8")
        version = f"{re.search(r'^Version: (.*)$', text, re.MULTILINE)[1]}+next"  # type: ignore[index]
        control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", text), "utf-8")
        with (inside / "etc/forebay/forebay.toml").open("a", encoding="utf-8") as file:
            file.write("\n# Of the newer version.\n")
        build_it = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(inside), str(out)]
        subprocess.run(build_it, check=True, stdout=subprocess.DEVNULL)
    return version


class Story:
    """The steps, on one machine."""

    def __init__(self, machine: Machine, package: Path, folder: Path, stack: ExitStack) -> None:
        self.machine, self.folder, self.stack = machine, folder, stack
        self.pki, self.data = folder / "pki", folder / "data"
        self.before = lies_in(machine.tree)
        shutil.copy(package, machine.tree / "root/forebay.deb")
        self.newer = made_newer(package, machine.tree / "root/newer.deb")

    def tell(self) -> None:
        steps: tuple[Callable[[], str], ...] = (
            self.installs,
            self.has_all_it_needs,
            self.is_configured,
            self.delivers,
            self.upgrades,
            self.downgrades,
            self.is_removed_and_comes_back,
            self.has_lost_nothing,
            self.is_purged,
        )
        for step in steps:
            began = time.monotonic()
            said = step()
            name = step.__name__.replace("_", " ")
            say(f"ok  {name:27} {time.monotonic() - began:5.1f} s  {said}")

    def installs(self) -> str:
        """Without a network; the service waits until somebody has said which gateway this is."""
        self._apt("install", "/root/forebay.deb")
        run, show = self.machine.run, self.machine.show
        assert show(AGENT, "UnitFileState") == "enabled"
        assert show(AGENT, "ActiveState") == "inactive", run("systemctl", "status", AGENT)
        assert show(AGENT, "Result") == "exec-condition"
        assert not (self.machine.tree / "var/lib/forebay/journal").exists()
        assert "gateway.id: is missing" in run("forebay", "check", TOML, check=False)
        owner = "stat", "-c", "%U:%G %a"
        assert run(*owner, "/etc/forebay", TOML).split("\n") == [
            "root:forebay 750",
            "root:forebay 640",
        ]
        return run("forebay", "--version")

    def has_all_it_needs(self) -> str:
        """Every extension module finds what it is linked with; what is needed can be imported."""
        find = "find /usr/lib/forebay -name '*.cpython-*.so' -o -name '*.abi3.so'"
        missing = self.machine.run("sh", "-c", f"{find} | xargs ldd | grep 'not found' || true")
        assert not missing, missing
        self.machine.run("/usr/lib/forebay/bin/python", "-I", "-c", LIBRARIES)
        stale = self.machine.run("sh", "-c", "find /usr/lib/forebay -name '*.pyc' | wc -l")
        assert int(stale) > 1000, stale
        return f"{self.machine.run('sh', '-c', f'{find} | wc -l')} extension modules"

    def is_configured(self) -> str:
        """By a file in /etc, and certificates of a fleet."""
        tree, run = self.machine.tree, self.machine.run
        for words in (("init", self.pki), ("issue", self.pki, "--host", "127.0.0.1")):
            self._fleet("ca", *map(str, words))
        self._fleet("ca", "issue", str(self.pki), "--gateway", "box")
        (tree / "etc/forebay/forebay.toml").write_text(CONFIG)
        (tree / "etc/forebay/tls").mkdir()
        for name in ("ca.crt", "box.crt", "box.key"):
            shutil.copy(self.pki / name, tree / "etc/forebay/tls")
        run("chgrp", "-R", "forebay", "/etc/forebay/tls")
        run("chmod", "0640", "/etc/forebay/tls/box.key")
        self.stack.enter_context(server(self.machine, self.folder))
        said = run("forebay", "check", TOML)
        run("systemctl", "restart", AGENT)
        assert self.machine.show(AGENT, "ActiveState") == "active"
        pid = self.machine.show(AGENT, "MainPID")
        assert run("ps", "-o", "user=", "-p", pid) == "forebay"
        return said

    def delivers(self) -> str:
        """What is read is at a fleet server."""
        return f"{self._more():,} samples at the server"

    def upgrades(self) -> str:
        """A newer package: the gateway is started anew, with its configuration and its journal."""
        return self._goes_to("newer.deb", self.newer)

    def downgrades(self) -> str:
        """Back to the older one."""
        version = self.machine.run("dpkg-deb", "-f", "/root/forebay.deb", "Version")
        return self._goes_to("forebay.deb", version)

    def is_removed_and_comes_back(self) -> str:
        """Removed is not purged: configuration and journal wait for the next one."""
        journal = self._journal()
        self._apt("remove", "forebay")
        run = self.machine.run
        assert self.machine.show(AGENT, "ActiveState") == "inactive"
        assert not (self.machine.tree / "usr/lib/forebay").exists()
        assert journal <= self._journal()
        self._apt("install", "/root/forebay.deb")
        assert (self.machine.tree / "etc/forebay/forebay.toml").read_text() == CONFIG
        assert self.machine.show(AGENT, "ActiveState") == "active", run(
            "systemctl", "status", AGENT
        )
        return f"{self._more():,} samples at the server"

    def has_lost_nothing(self) -> str:
        """Gateway and server tell the same, over all these runs."""
        account = self.folder / "account.json"
        account.write_text(json.dumps(self.machine.status("ledger")), "utf-8")
        told = self._fleet("ledger", "--gateway", "box", "--against", str(account), "--json")
        verdicts = {one["verdict"] for one in json.loads(told)["streams"]}
        assert verdicts <= {"agree", "under way"}, told
        ends = self._fleet("ledger", "--verify").strip().split("\n")[-1]
        assert ends.startswith("sound"), ends
        return ends

    def is_purged(self) -> str:
        """Nothing is left: every path is as it was before, and nobody is there any more."""
        self._apt("purge", "forebay")
        left = lies_in(self.machine.tree) - self.before
        assert not left, sorted(left)
        for name in ACCOUNTS:
            assert "forebay" not in (self.machine.tree / name).read_text(), name
        assert self.machine.show(AGENT, "LoadState") == "not-found"
        gone = self.before - lies_in(self.machine.tree)
        assert not gone, sorted(gone)
        return f"{len(self.before):,} paths, as before"

    def _goes_to(self, package: str, version: str) -> str:
        pid, journal = self.machine.show(AGENT, "MainPID"), self._journal()
        stored = self._stored()
        self._apt("install", "--allow-downgrades", f"/root/{package}")
        assert self.machine.run("dpkg-query", "-W", "-f", "${Version}", "forebay") == version
        assert self.machine.show(AGENT, "ActiveState") == "active"
        assert self.machine.show(AGENT, "MainPID") not in ("0", pid)
        assert (self.machine.tree / "etc/forebay/forebay.toml").read_text() == CONFIG
        assert journal <= self._journal()
        return f"{version}; {self._more(stored):,} samples at the server"

    def _journal(self) -> set[str]:
        """Give the files of the journal's streams."""
        home = self.machine.tree / "var/lib/forebay"
        return {str(one.relative_to(home)) for one in home.rglob("*.seg*")}

    def _stored(self) -> int:
        with suppress(ValueError, KeyError):
            lines = json.loads(self._fleet("ledger", "--json"))["streams"]
            return sum(line["samples"] for line in lines)
        return 0

    def _more(self, than: int | None = None) -> int:
        """Wait until the server has more samples, of the run that is now; give how many."""
        base = self._stored() if than is None else than
        self.machine.until(lambda: self._stored() > base + 20, SOON_S, "data at the fleet server")
        return self._stored()

    def _apt(self, *words: str) -> None:
        options = (*KEEP, "--yes", "--no-install-recommends", "--quiet")
        noise = ("env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "apt-get")
        self.machine.run(*noise, *options, *words)

    def _fleet(self, *words: str) -> str:
        beside = [] if words[0] == "ca" else ["--data", str(self.data)]
        done = subprocess.run(
            [FLEET, *words, *beside], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def server(machine: Machine, folder: Path) -> Iterator[None]:
    """Run a fleet server in the network of the machine, with the certificates of `folder`."""
    pki = folder / "pki"
    files = (
        "--cert",
        pki / "server.crt",
        "--key",
        pki / "server.key",
        "--client-ca",
        pki / "ca.crt",
    )
    words = (FLEET, "serve", "--data", folder / "data", "--listen", "127.0.0.1:7443", *files)
    command = [*machine.network, *map(str, words)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def main() -> int:
    if os.geteuid() != 0:
        say("make package-test needs root: it boots a container")
        return 1
    here = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    found = (ROOT / "dist").glob(f"forebay_*_{here}.deb")
    newest = max(found, key=lambda one: one.stat().st_mtime)
    with tempfile.TemporaryDirectory() as folder, Machine(build(bare=True)) as machine:
        try:
            with ExitStack() as stack:
                Story(machine, newest, Path(folder), stack).tell()
        except AssertionError:
            say(machine.run("journalctl", "-b", "-n", "60", "--no-pager", check=False)[-6000:])
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
