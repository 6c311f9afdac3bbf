"""What a plugin's process may see and take, as a command line.

Pure: builds arguments and knows of the machine only what `means` found. Owns what is shown to a
plugin of the file system, and its limits. Must not know what the plugin does.

Inside of bubblewrap there are the system's programs and libraries, the interpreter, the plugin's
directory and its model, all read-only; its state directory; `/tmp`, `/dev/shm` and `HOME` of its
own, in memory and limited; processes of its own; no network, no capability, nothing of `/etc` but
what a dynamic linker and a clock need.

Memory: RLIMIT_AS counts what is reserved and never touched, and an ONNX session with a dozen
threads reserves a gigabyte where it uses 96 MiB. RLIMIT_DATA counts less of it (400 MiB for the
same), so one process may have that much more than the limit says; what the processes use together
is watched (`watch`).
"""

from __future__ import annotations

import math
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from forebay.pluginhost.syscalls import FILTER, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from forebay.pluginhost.manifest import Limits

SLACK_BYTES = 512 << 20
"""What threads reserve and do not touch, beyond a plugin's limit on memory: see above."""
TMP_BYTES = 64 << 20
HOME = "/home/plugin"
SOCKET_DIRECTORY = "/run/forebay"
SOCKET = "plugin.sock"
SYSTEM = ("/usr", "/opt")
LINKED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
OF_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime")
OF_SYS = "/sys/devices/system/cpu"
ORDINARY_PATH = "/usr/local/bin:/usr/bin:/bin"
PRIVATE = tuple(map(Path, ("/etc", "/proc", "/sys", "/dev", "/run", "/boot")))
"""Never shown whole, whatever a plugin's command or interpreter lies in."""


@dataclass(frozen=True, slots=True)
class Means:
    """What works on this machine: found by trying, see `means.probe`.

    `bubblewrap` says how: in a user namespace of its own, or as root under `user`, an unprivileged
    user of the plugin's own; None if it is missing or may not. `why` says what was in the way.
    `units` is where sockets are if plugins run in units of systemd, None if they do not; `grouped`
    says that the kernel holds units to their limits.
    """

    bubblewrap: Literal["user-namespace", "own-user"] | None
    prlimit: bool
    choom: bool
    setpriv: bool
    taskset: bool
    root: bool = False
    why: str = ""
    units: Path | None = None
    grouped: bool = False

    @property
    def confines(self) -> bool:
        """Whether a plugin is parted from the network, and from what the agent may read."""
        return self.bubblewrap is not None or self.units is not None


@dataclass(frozen=True, slots=True)
class Cell:
    """Where one process lives: its own paths outside. `user` is a numeric id or None.

    `readable` are directories and files that it may read beside the system's; `cores` are the
    processors that it may use, all of them if empty.
    """

    directory: Path
    socket_directory: Path
    state_directory: Path
    readable: tuple[Path, ...]
    model: Path | None = None
    user: int | None = None
    cores: tuple[int, ...] = ()


def arguments(means: Means, cell: Cell, limits: Limits, command: Iterable[str]) -> list[str]:
    """Give the command line that runs `command` confined as far as `means` allows."""
    outer = ["nice", "-n", str(limits.nice)]
    if means.choom:
        outer += ["choom", "-n", "1000", "--"]
    if means.taskset and cell.cores:
        outer += ["taskset", "-c", ",".join(map(str, cell.cores))]
    inner: list[str] = []
    if means.prlimit:
        inner += ["prlimit", *_limits(limits), "--"]
    if means.bubblewrap is None:
        if means.setpriv:
            outer += ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"]
        return [*outer, *inner, *command]
    outer += ["bwrap", *_confined(means, cell), "--"]
    if means.bubblewrap == "own-user":
        outer += ["setpriv", "--reuid", str(cell.user), "--regid", str(cell.user)]
        outer += ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"]
    return [*outer, *inner, *command]


def environment(
    means: Means, cell: Cell, limits: Limits, token: str, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Give the whole environment of the process: nothing of ours but the time zone.

    Thread pools take as many threads as the plugin has cores, or each would take all of them.
    """
    confined = means.bubblewrap is not None
    threads = str(max(1, round(limits.cpu)))
    out = {
        "PATH": ORDINARY_PATH,
        "HOME": HOME if confined else str(cell.state_directory),
        "LANG": "C.UTF-8",
        "FOREBAY_PLUGIN_SOCKET": f"{_socket_directory(means, cell)}/{SOCKET}",
        "FOREBAY_PLUGIN_TOKEN": token,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    if (cell.directory / "src").is_dir():  # before what is installed: another version may be
        out["PYTHONPATH"] = str(cell.directory / "src")
    if "TZ" in inherited:
        out["TZ"] = inherited["TZ"]
    return out


def in_force(means: Means, limits: Limits) -> tuple[str, ...]:
    """Give what holds the process, in words for people; nothing that is only hoped for."""
    if means.units is not None:
        kernel = ("cgroup limits",) if means.grouped else ()
        return ("systemd", "own user", *kernel, "memory and processes watched")
    words = []
    if means.bubblewrap is not None:
        words.append("bubblewrap")
    if means.bubblewrap == "own-user":
        words.append("own user")
    if means.prlimit:
        words.append("rlimits")
    if limits.nice:
        words.append("nice")
    if means.taskset:
        words.append("cores")
    words.append("memory and processes watched")
    if means.root and means.bubblewrap is None:
        words.append("as root")
    return tuple(words)


def cores(usable: Iterable[int], limits: Limits, name: str) -> tuple[int, ...]:
    """Give as many of the `usable` processors as `limits` says, not the first while that can be.

    Plugins of different names begin at different ones.
    """
    every = sorted(usable)
    rest = every[1:] or every
    count = min(math.ceil(limits.cpu), len(every))
    if count > len(rest):
        return tuple(every)
    start = zlib.crc32(name.encode()) % len(rest)
    return tuple(sorted((rest[start:] + rest[:start])[:count]))


def readable(command: Iterable[str], directory: Path) -> tuple[Path, ...]:
    """Give what a command needs to read beside the system: its program and its interpreter.

    For this agent's interpreter that is all it imports from; for another, its prefix; for a virtual
    environment in the plugin, the interpreter that it was made of. The plugin's own files name
    these: a folder is shown only if it is an interpreter's, and of other places the program alone.
    """
    program = Path(next(iter(command)))
    if not program.is_absolute():
        return ()
    found: list[Path] = []
    if program == Path(sys.executable):
        found += [Path(sys.prefix), Path(sys.base_prefix)]
        found += [path for entry in sys.path if (path := Path(entry)).is_absolute()]
    home = _made_of(directory / "venv" / "pyvenv.cfg")
    places = [program, program.resolve(), *([home / "python"] if home else [])]
    found += [path for place in places for path in _needed(place)]
    shown = (path for path in found if path.exists() and not _too_much(path))
    return tuple(path for path in dict.fromkeys(shown) if not _below(path, directory))


def _made_of(config: Path) -> Path | None:
    """Give the directory of the interpreter that a virtual environment was made of."""
    try:
        lines = config.read_text(encoding="utf-8", errors="replace")[:65_536].splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(value.strip())
    return None


def _needed(program: Path) -> tuple[Path, ...]:
    """Give the prefix if `program` is an interpreter in one, else itself if it can be run."""
    place = Path(os.path.normpath(program))
    prefix = place.parent.parent
    if place.parent.name == "bin" and any(prefix.glob("lib/python3*/os.py")):
        return (prefix,)
    if place.parent.name == "bin" and (prefix / "pyvenv.cfg").is_file():
        return (prefix,)
    return (place,) if place.is_file() and os.access(place, os.X_OK) else ()


def _too_much(path: Path) -> bool:
    """Whether showing `path` would show what a plugin must not see."""
    return len(path.parts) < 2 or any(_below(path, private) for private in PRIVATE)


def _below(path: Path, directory: Path) -> bool:
    return path == directory or directory in path.parents


def _limits(limits: Limits) -> Iterator[str]:
    yield f"--data={limits.memory + SLACK_BYTES}"
    yield f"--nproc={limits.processes}"
    yield f"--nofile={limits.files}"
    yield f"--fsize={limits.file_size}"
    yield "--core=0"


def _socket_directory(means: Means, cell: Cell) -> str:
    return SOCKET_DIRECTORY if means.bubblewrap else str(cell.socket_directory)


def _confined(means: Means, cell: Cell) -> Iterator[str]:
    """Give the arguments of bubblewrap."""
    yield from namespaces(means.bubblewrap)
    yield from ("--die-with-parent", "--new-session", "--hostname", "plugin")
    if refused():
        yield from ("--seccomp", FILTER)
    for system in SYSTEM:
        yield from ("--ro-bind-try", system, system)
    for link in map(Path, LINKED):
        if link.is_symlink():
            yield from ("--symlink", str(link.readlink()), str(link))
        elif link.exists():
            yield from ("--ro-bind", str(link), str(link))
    yield from _parents((Path("/etc") / OF_ETC[0], Path(OF_SYS)))
    for name in OF_ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--ro-bind-try", OF_SYS, OF_SYS, "--proc", "/proc", "--dev", "/dev")
    for place in ("/tmp", "/dev/shm", HOME):  # noqa: S108 - inside
        yield from ("--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", place)
    shown = (*cell.readable, cell.directory, *([cell.model] if cell.model else []))
    yield from _parents((*shown, cell.state_directory, Path(SOCKET_DIRECTORY)))
    for path in shown:
        yield from ("--ro-bind", str(path), str(path))
    yield from ("--ro-bind", str(cell.socket_directory), SOCKET_DIRECTORY)
    yield from ("--bind", str(cell.state_directory), str(cell.state_directory))
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/")


def _parents(paths: Iterable[Path]) -> Iterator[str]:
    """Have the directories above what is shown made so that the plugin's user may pass them."""
    above = {parent for path in paths for parent in path.parents if len(parent.parts) > 1}
    for parent in sorted(above):
        yield from ("--perms", "0755", "--dir", str(parent))


def namespaces(kind: Literal["user-namespace", "own-user"] | None) -> Iterator[str]:
    """Give the arguments of bubblewrap that part a process from the machine."""
    if kind == "user-namespace":
        yield from ("--unshare-all", "--cap-drop", "ALL")
        return
    yield from ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")
    yield from ("--unshare-cgroup-try", "--cap-drop", "ALL")
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # dropped again by setpriv
        yield from ("--cap-add", capability)
