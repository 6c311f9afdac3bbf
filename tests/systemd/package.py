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

from support.shown import followed
from systemd.machine import CACHE, ROOT, Machine, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TAGS = "name,address,type\ncount,counter,uint32\nlevel,sine low=0 high=9 period=20s,float32\n"
AGENT, TOML = "forebay.service", "/etc/forebay/forebay.toml"
LIBRARIES = (
    "import aiomqtt, asyncua, grpc, numpy, opentelemetry.proto, pyarrow.parquet, serial, uvloop, "
    "forebay_plugin"
)
KEEP = ("-o", "Dpkg::Options::=--force-confold")
"""What somebody has written stays, and what the package would write lies beside it."""
CHANGING = re.compile(
    r"(proc|sys|dev|run|tmp|root|var/log|var/cache|var/tmp|var/lib/(apt|systemd))(/|$)"
    r"|var/lib/dpkg/([^/]*-old|lock.*|triggers/.*)$|etc/(passwd|group|shadow|gshadow)-$"
    r"|etc/\.pwd\.lock$|var/lib/dpkg/info/format$"
)
"""What of a machine is not the same from one minute to the next, whoever installs what."""
ACCOUNTS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")
EXPOSURES = {"forebay.service": 12, "forebay-plugin@.service": 5, "forebay-plugin-next@.service": 5}
"""What `systemd-analyze security` may find at most, in tenths."""
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
        bundle = package.name.replace("_", "-").removesuffix(".deb")
        shutil.copy(package.with_name(f"{bundle}.tar.gz"), machine.tree / "root/bundle.tar.gz")
        machine.run("tar", "xf", "/root/bundle.tar.gz", "-C", "/root")
        self.bundle = f"/root/{bundle}"

    def tell(self) -> None:
        steps: tuple[Callable[[], str], ...] = (
            self.installs,
            self.has_all_it_needs,
            self.has_sound_units,
            self.is_configured,
            self.delivers,
            self.upgrades,
            self.downgrades,
            self.is_removed_and_comes_back,
            self.has_lost_nothing,
            self.is_purged,
            self.refuses_a_damaged_bundle,
            self.is_installed_by_a_bundle,
            self.is_taken_away_by_it,
        )
        for step in steps:
            began = time.monotonic()
            said = step()
            name = step.__name__.replace("_", " ")
            say(f"ok  {name:27} {time.monotonic() - began:5.1f} s  {said}")
        followed("docs/guides/install.md")

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
        compiled = self.machine.run("sh", "-c", "find /usr/lib/forebay -name '*.pyc' | wc -l")
        assert int(compiled) > 1000, compiled
        home = self.machine.tree / "usr/lib/forebay"
        parts = json.loads((home / "sbom.cdx.json").read_text("utf-8"))
        told = {(one["name"], one["version"]) for one in parts["components"]}
        main = parts["metadata"]["component"]
        found = (home / "lib/python3.11/site-packages").glob("*.dist-info")
        here = [one.name.removesuffix(".dist-info").partition("-") for one in found]
        names = {(re.sub("[-_.]+", "-", name).lower(), version) for name, _, version in here}
        assert told | {(main["name"], main["version"])} == names
        return f"{self.machine.run('sh', '-c', f'{find} | wc -l')} extension modules"

    def has_sound_units(self) -> str:
        """As they are installed: systemd knows every word, finds every program, and scores them."""
        run, said = self.machine.run, []
        for unit, most in EXPOSURES.items():
            place = f"/usr/lib/systemd/system/{unit}"
            found = run("systemd-analyze", "verify", "--man=no", place, check=False)
            assert not found, found
            scoring = ("security", "--offline=true", f"--threshold={most}", "--no-pager", place)
            score = re.search(r"level for .*: (\S+)", run("systemd-analyze", *scoring))
            assert score
            said.append(f"{unit} {score[1]}")
        return ", ".join(said)

    def is_configured(self) -> str:
        """By a tag list and a token of the fleet, as somebody does it at the cabinet."""
        run, show = self.machine.run, self.machine.show
        for words in (("init", self.pki), ("issue", self.pki, "--host", "127.0.0.1")):
            self._fleet("ca", *map(str, words))
        self.stack.enter_context(server(self.machine, self.folder))
        self.machine.until((self.data / "registry.db").exists, SOON_S, "the fleet server")
        token = re.search(r"--token (\S+)", self._fleet("token", "create", "--gateway", "box"))
        assert token
        (self.machine.tree / "root/tags.csv").write_text(TAGS)
        by = ("--protocol", "simulated", "--gateway", "box", "--cloud", "127.0.0.1:7443")
        run("forebay", "init", "--from", "/root/tags.csv", *by)
        run("forebay", "fleet", "enroll", "--server", "127.0.0.1:7444", "--token", token[1])
        said = run("forebay", "check", TOML)
        run("systemctl", "start", AGENT)
        assert show(AGENT, "ActiveState") == "active"
        assert run("ps", "-o", "user=", "-p", show(AGENT, "MainPID")) == "forebay"
        self.config = self._config()
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
        assert self._config() == self.config
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

    def refuses_a_damaged_bundle(self) -> str:
        """A byte that differs, and nothing is written."""
        wheel = next((self.machine.tree / self.bundle[1:] / "wheels").glob("numpy-*.whl"))
        whole = wheel.read_bytes()
        wheel.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
        said = self.machine.run(f"{self.bundle}/install", check=False)
        assert "a file is damaged" in said, said
        assert lies_in(self.machine.tree) == self.before
        wheel.write_bytes(whole)
        return "nothing is written"

    def is_installed_by_a_bundle(self) -> str:
        """Without a package; a second time it is another version, and all stays."""
        run = self.machine.run
        run(f"{self.bundle}/install")
        assert self.machine.show(AGENT, "Result") == "exec-condition"
        by = ("--protocol", "simulated", "--gateway", "box", "--cloud", "")
        run("forebay", "init", "--from", "/root/tags.csv", *by)
        run("systemctl", "start", AGENT)
        self.machine.until(self._reads, SOON_S, "it reads")
        pid, config, journal = self.machine.show(AGENT, "MainPID"), self._config(), self._journal()
        said = run(f"{self.bundle}/install")
        assert self.machine.show(AGENT, "MainPID") not in ("0", pid)
        self.machine.until(self._reads, SOON_S, "it reads")
        assert self._config() == config
        assert journal <= self._journal()
        run(f"{self.bundle}/install", "--remove")
        assert self._config() == config
        assert journal <= self._journal()
        return said.split("\n")[-1]

    def is_taken_away_by_it(self) -> str:
        """And nothing is left."""
        self.machine.run(f"{self.bundle}/install", "--remove", "--purge")
        changed = lies_in(self.machine.tree) ^ self.before
        assert not changed, sorted(changed)
        for name in ACCOUNTS:
            assert "forebay" not in (self.machine.tree / name).read_text(), name
        return f"{len(self.before):,} paths, as before"

    def _reads(self) -> bool:
        return bool((self.machine.status("status") or {}).get("samples_per_s"))

    def _goes_to(self, package: str, version: str) -> str:
        pid, journal = self.machine.show(AGENT, "MainPID"), self._journal()
        stored = self._stored()
        self._apt("install", "--allow-downgrades", f"/root/{package}")
        assert self.machine.run("dpkg-query", "-W", "-f", "${Version}", "forebay") == version
        assert self.machine.show(AGENT, "ActiveState") == "active"
        assert self.machine.show(AGENT, "MainPID") not in ("0", pid)
        assert self._config() == self.config
        assert journal <= self._journal()
        return f"{version}; {self._more(stored):,} samples at the server"

    def _config(self) -> dict[str, bytes]:
        """Give the files of the configuration, but what dpkg lays beside them."""
        files = (self.machine.tree / "etc/forebay").rglob("*")
        return {str(one): one.read_bytes() for one in files if ".dpkg-" not in one.name}

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
    """Run a fleet server in the network of the machine, with the authority of `folder`."""
    listen = ("--listen", "127.0.0.1:7443", "--enroll-listen", "127.0.0.1:7444")
    words = (FLEET, "serve", "--data", folder / "data", "--ca", folder / "pki", *listen)
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
