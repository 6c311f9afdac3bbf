"""A Debian whose PID 1 is a real systemd, in a container, with the agent installed in it.

systemd-nspawn gives it a network of its own that leads nowhere. Needs root. Control groups are what
the machine around it has: where that is not version 2, limits are properties that nothing holds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from support import shown

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "systemd"
PACKAGES = ("systemd", "systemd-sysv", "dbus", "polkitd", "python3", "iproute2", "procps")
HOME = Path("usr/lib/forebay")
LIBRARIES = HOME / "lib/python3.11/site-packages"
UNITS = Path("usr/lib/systemd/system")
BOOT_S = 60.0
COMMAND_S = 300.0
LOOK_S = 0.1


def build(*, bare: bool = False) -> Path:
    """Make the tree of the machine in CACHE, fresh; the slow parts are kept. Gives its place.

    A `bare` one has nothing of Forebay.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    archive, tree = CACHE / "rootfs.tar", CACHE / ("bare" if bare else "rootfs")
    if not archive.exists():
        unfinished = archive.with_suffix(".part.tar")
        include = f"--include={','.join(PACKAGES)}"
        _run("mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm", unfinished)
        unfinished.rename(archive)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    _run("tar", "--extract", "--file", archive, "--directory", tree, "--exclude=./dev/*")
    if not bare:
        _install(tree)
    return tree


def _install(tree: Path) -> None:
    """Put the agent and its units where a package would."""
    (tree / HOME / "bin").mkdir(parents=True)
    (tree / HOME / "bin" / "python").symlink_to("/usr/bin/python3")
    (tree / HOME / "pyvenv.cfg").write_text("home = /usr/bin\n")
    shutil.copytree(_packages(), tree / LIBRARIES)
    for code in ("agent/forebay", "plugins/sdk/src/forebay_plugin"):
        shutil.copytree(ROOT / code, tree / LIBRARIES / Path(code).name)
    for name in ("forebay", "forebay_plugin"):
        project = tree / LIBRARIES / f"{name}-0.dist-info"
        project.mkdir()
        (project / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    (tree / LIBRARIES / "forebay-0.dist-info" / "entry_points.txt").write_text(_entry_points())
    program = tree / HOME / "bin" / "forebay"
    program.write_text(
        "#!/usr/lib/forebay/bin/python\nfrom forebay.cli.main import main\n\nmain()\n"
    )
    program.chmod(0o755)
    for unit in (ROOT / "systemd").glob("*.service"):
        shutil.copy(unit, tree / UNITS)
    (tree / "usr/share/polkit-1/rules.d").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "systemd/50-forebay.rules", tree / "usr/share/polkit-1/rules.d")
    shutil.copy(ROOT / "systemd/forebay.sysusers.conf", tree / "usr/lib/sysusers.d/forebay.conf")


def _entry_points() -> str:
    """Give the adapters of pyproject.toml that the agent is run with here."""
    return (
        "[forebay.drivers]\nsimulated = forebay.drivers.simulated:SPEC\n"
        "[forebay.uplinks]\nfile = forebay.uplinks.file:SPEC\n"
    )


def _packages() -> Path:
    """Give the agent's pinned requirements; the wheels of a first time are kept."""
    wheels = CACHE / "packages"
    if not wheels.exists():
        unfinished = wheels.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        pip = (sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--require-hashes")
        platform = ("--only-binary=:all:", "--python-version=3.11", "--no-compile")
        pinned = ROOT / "requirements" / "demo.txt"
        _run(*pip, *platform, "--target", unfinished, "-r", pinned)
        unfinished.rename(wheels)
    return wheels


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)


class Machine:
    """`with Machine(tree) as machine:` boots it; leaving ends it."""

    def __init__(self, tree: Path) -> None:
        """Boot what is in `tree`."""
        self.tree = tree
        name = f"forebay-{os.getpid()}"
        self._console = (CACHE / "console.log").open("wb")
        self._nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "-D", str(tree), "--boot", f"--machine={name}"),
                *("--register=no", "--keep-unit", "--private-network", "--console=pipe"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
        )
        self._leader = 0

    def __enter__(self) -> Self:
        try:
            self.until(self._booted, BOOT_S, "the machine is up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            if self._leader:
                os.kill(self._leader, signal.SIGKILL)
        self._nspawn.terminate()
        self._nspawn.wait(30)
        self._console.close()

    @property
    def network(self) -> tuple[str, ...]:
        """What begins a command of this machine that is to run in that one's network."""
        return ("nsenter", "-t", str(self._leader), "-n")

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside as root; give what it printed, and raise with it if it failed."""
        shown.note(command)
        inside = ("nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w")
        done = subprocess.run(
            [*inside, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return (done.stdout if check else done.stdout + done.stderr).strip()

    def show(self, unit: str, what: str) -> str:
        """Give one property of a unit."""
        return self.run("systemctl", "show", f"--property={what}", "--value", unit)

    def status(self, *words: str) -> Any:
        """Give what a command of the agent answers, as JSON; None if it could not be asked."""
        said = self.run("/usr/lib/forebay/bin/forebay", *words, "--json", check=False)
        try:
            return json.loads(said)
        except ValueError:
            return None

    def until(self, holds: Callable[[], object], within_s: float, what: str) -> None:
        """Wait until `holds`; AssertionError with the journal's end if it does not in time."""
        end_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > end_s:
                log = self.run("journalctl", "-n", "40", "--no-pager", check=False)
                raise AssertionError(f"not within {within_s:g} s: {what}\n{log}")
            time.sleep(LOOK_S)

    def _booted(self) -> bool:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for child in children.read_text().split():  # the first ones only prepare
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._leader = int(child)
        if not self._leader:
            return False
        said = self.run("systemctl", "is-system-running", check=False)
        return said in ("running", "degraded")
