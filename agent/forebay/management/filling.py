"""Makes a slot of an archive: unpacked, looked over, tried, and whole before it has a name.

Owns what an agent package must hold; see docs/reference/agent-package.md. Must not know trials.
Everything blocks, for up to minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from forebay.errors import RequestFailed, RequestInvalid
from forebay.launcher import whole
from forebay.pluginhost.unpack import Most, take

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "forebay-agent"
ABOUT, CONTENT = "agent.json", "site-packages"
MAX_ABOUT_BYTES = 64 << 10
MOST = Most(entries=100_000, size_bytes=1 << 30)
MAX_ARCHIVE_BYTES = 1 << 30
ROOM = 4
"""How many times the archive's size must be free on the disk: it is unpacked beside the others."""
TRY_S = 120.0
COMPILE_S = 600.0
_PASSED_ON = ("PATH", "LANG", "FOREBAY_STATE", "FOREBAY_LIMITS", "FOREBAY_SOCKET")


class About(NamedTuple):
    """What an archive says of itself: the version, and for which interpreter and machine."""

    version: str
    python: str
    machine: str


def digest(archive: Path) -> str:
    """Give the SHA-256 of the archive in hex. Raises OSError."""
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fill(folder: Path, slot: str, archive: Path, config: Path | None) -> str:
    """Make `archive` what the slot holds; give its version. What the slot held before is gone.

    It must be able to load `config`, the configuration that runs; None: there is none yet.

    Raises:
        RequestInvalid: this is no agent for this machine.
        RequestFailed: the disk does not take it.
    """
    fresh, old = folder / f".{slot}.new", folder / f".{slot}.old"
    try:
        for leftover in folder.glob(".?.*"):  # of what was killed: it takes room
            shutil.rmtree(leftover)
        _need_room(folder, archive)
        (fresh / "unpacked").mkdir(parents=True)
        take(archive, fresh / "unpacked", MOST)
        about = _about(fresh / "unpacked")
        _lay_out(fresh)
        _compile(fresh)
        _try(fresh, about, config)
        _seal(fresh, about, digest(archive))
        with contextlib.suppress(FileNotFoundError):
            (folder / slot).rename(old)
        try:
            fresh.rename(folder / slot)
        except OSError:
            with contextlib.suppress(OSError):
                old.rename(folder / slot)
            raise
        os.sync()
    except OSError as error:
        text = f"the slot could not be filled: {error.strerror or error}"
        raise RequestFailed(text, hint="check the disk under the state directory") from error
    finally:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return about.version


def _need_room(folder: Path, archive: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = archive.stat().st_size
    if size > MAX_ARCHIVE_BYTES:
        raise _refused(f"it is larger than {MAX_ARCHIVE_BYTES >> 20} MiB")
    free = shutil.disk_usage(folder).free
    if free < ROOM * size:
        text = f"it needs {ROOM * size >> 20} MiB beside what is there, {free >> 20} MiB are free"
        raise RequestFailed(text, hint="make room under the state directory")


def _about(unpacked: Path) -> About:
    """Read what the archive says of itself; refuse what is for another machine."""
    try:
        with (unpacked / ABOUT).open("rb") as file:
            told = json.loads(file.read(MAX_ABOUT_BYTES))
        about = About(*(str(told[name]) for name in About._fields))
        name = told["name"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(f"{ABOUT} is missing or wrong: {error}") from error
    here = About(about.version, python(), platform.machine())
    if name != NAME or not (unpacked / CONTENT / "forebay/launcher").is_dir():
        raise _refused("it does not hold the gateway")
    if about != here:
        raise _refused(
            f"it is for Python {about.python} on {about.machine}, "
            f"this is Python {here.python} on {here.machine}"
        )
    return about


def python() -> str:
    """Give the version of the interpreter that compiled modules are made for, as "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _lay_out(fresh: Path) -> None:
    """Make an environment around what was unpacked: see `venv` and PEP 405."""
    interpreter = Path(sys.executable).resolve()
    home = Path(getattr(sys, "_base_executable", "") or interpreter).resolve().parent
    (fresh / "bin").mkdir()
    (fresh / "bin/python").symlink_to(interpreter)
    lines = (f"home = {home}", "include-system-site-packages = false", f"version = {python()}")
    (fresh / "pyvenv.cfg").write_text("\n".join(lines) + "\n")
    packages = fresh / f"lib/python{python()}/site-packages"
    packages.parent.mkdir(parents=True)
    (fresh / "unpacked" / CONTENT).rename(packages)
    shutil.rmtree(fresh / "unpacked")


def _compile(fresh: Path) -> None:
    """Have Python compile all there is, never to be compared with its source: that is listed too.

    What cannot be compiled stays as it is.
    """
    words = ("-I", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", "lib")
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 - as what is tried
            (str(fresh / "bin/python"), *words),
            check=False,
            capture_output=True,
            timeout=COMPILE_S,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            cwd=fresh,
        )


def _try(fresh: Path, about: About, config: Path | None) -> None:
    """See that the new version begins, is what it says, and takes the configuration that runs."""
    said = _said(fresh, ("--version",))
    if said != f"forebay {about.version}":
        raise _refused(f"it should say that it is {about.version}, and says {said[:100]!r}")
    if config is not None:
        _said(fresh, ("check", str(config)))


def _said(fresh: Path, arguments: tuple[str, ...]) -> str:
    program = (str(fresh / "bin/python"), "-I", "-m", "forebay.cli", *arguments)
    try:
        ran = subprocess.run(  # noqa: S603 - what was offered is to be run, by the user of the agent
            program,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRY_S,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(f"`forebay {arguments[0]}` did not end in {TRY_S:g} s") from error
    if ran.returncode != 0:
        lines = (ran.stderr or ran.stdout).strip().splitlines() or [""]
        raise _refused(f"`forebay {arguments[0]}` of it failed: {lines[-1][:200]}")
    return ran.stdout.strip()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in _PASSED_ON if name in environ}


def _seal(fresh: Path, about: About, archive: str) -> None:
    """List all files; the list is durable after all of them."""
    lists = {whole.FILES: whole.digests(fresh), whole.COMPILED: whole.compiled(fresh)}
    told = {**about._asdict(), "archive": archive, **lists}
    os.sync()
    (fresh / whole.WHOLE).write_text(json.dumps(told))
    os.sync()


def _refused(reason: str) -> RequestInvalid:
    return RequestInvalid(
        f"this is not taken as an agent: {reason}",
        hint="make it with scripts/agent-package, for this machine and its Python",
    )
