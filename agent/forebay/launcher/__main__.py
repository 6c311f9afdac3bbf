"""`python -I -m forebay.launcher run ...`: what a service manager starts in place of `forebay`.

Becomes the slot's `forebay` with the same arguments: the process stays the same, and with it
readiness, watchdog and signals. `FOREBAY_SLOT` tells the agent which slot it runs from.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from forebay.launcher import book, whole

STATE = "/var/lib/forebay"
"""As `forebay.config.places` has it."""
EXIT_USAGE = 64
"""EX_USAGE of sysexits.h."""
EXIT_NONE = 71
"""EX_OSERR of sysexits.h: nothing could be started; the service manager tries again."""
AS_INSTALLED = "installed"


class SystemFiles:
    """The machine's."""

    def makedirs(self, path: Path) -> None:
        """See `Files.makedirs`."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read_bytes(self, path: Path, limit: int) -> bytes:
        """See `Files.read_bytes`."""
        with path.open("rb") as file:
            return file.read(limit)

    def write_atomic(self, path: Path, data: bytes) -> None:
        """See `Files.write_atomic`."""
        temporary = path.with_name(path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def lock(self, path: Path) -> BinaryIO | None:
        """See `Files.lock`."""
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if isinstance(error, BlockingIOError):
                return None
            raise
        return file


def main() -> int:
    """Become the agent; give an exit code only if nothing can be started."""
    if sys.argv[1:2] != ["run"]:  # each start of a trial counts
        sys.stderr.write("usage: python -I -m forebay.launcher run [--config FILE] [--json]\n")
        return EXIT_USAGE
    state = Path(os.environ.get("FOREBAY_STATE") or STATE).absolute()
    slots = book.Slots(state / book.FOLDER, SystemFiles())
    now, choice = slots.begin()
    for slot in choice:
        try:
            _become(slots.folder, slot, now.trial)
        except (whole.Damaged, OSError) as error:
            sys.stderr.write(f"forebay: slot {slot or AS_INSTALLED} cannot be started: {error}\n")
            if slot != book.INSTALLED:
                slots.failed(slot, str(error)[:300])
    return EXIT_NONE


def _become(folder: Path, slot: str, trial: book.Trial | None) -> None:
    """Run what is in `slot` in place of this process. Raises Damaged, OSError."""
    program = sys.executable
    if slot != book.INSTALLED:
        whole.check(folder / slot)
        whole.drop_compiled(folder / slot)
        program = str(folder / slot / "bin/python")
    # A trial that hangs where nobody watches it yet ends by this; who proves itself turns it off.
    on_trial = trial is not None and trial.slot == slot
    left_s = trial.probation_s + trial.start_s if on_trial and trial is not None else 0.0
    signal.setitimer(signal.ITIMER_REAL, left_s)
    environ = os.environ | {"FOREBAY_SLOT": slot or AS_INSTALLED}
    arguments = [program, "-I", "-m", "forebay.cli", *sys.argv[1:]]
    os.execve(program, arguments, environ)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
