"""The directories of one process of a plugin: its state, and where its socket is.

Owns making and sweeping them. Must not know the process.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.errors import PluginUnavailable
from forebay.pluginhost import watch
from forebay.pluginhost.means import user_of
from forebay.pluginhost.sandbox import SOCKET, Cell, cores, readable

if TYPE_CHECKING:
    from forebay.pluginhost.sandbox import Means
    from forebay.pluginhost.settings import Instance

RUN = "run"
SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket (unix(7), sun_path)."""


def _give(directory: Path, user: int) -> None:
    """Make `user` the owner of all in `directory`.

    By descriptors of directories: an older version of the plugin may still run, and put a link to
    somebody else's directory in the place of its own meanwhile.
    """
    os.chown(directory, user, user, follow_symlinks=False)
    for _, directories, files, place in os.fwalk(directory):
        for name in (*directories, *files):
            os.chown(name, user, user, dir_fd=place, follow_symlinks=False)


def prepare(instance: Instance, means: Means, state_directory: Path) -> Cell:
    """Make the directories of a process; PluginUnavailable if that cannot be."""
    own = means.bubblewrap == "own-user"
    user = user_of(instance.name) if own else None
    try:
        state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = _place_for_socket(state_directory)
        if user is not None:
            os.chown(sockets, user, user)
            _give(state_directory, user)
    except OSError as error:
        raise PluginUnavailable(
            f"its directories cannot be made: {error.filename}: {error.strerror}",
            hint="let the agent's user write there",
            kind="start",
        ) from None
    return Cell(
        directory=instance.directory,
        socket_directory=sockets,
        state_directory=state_directory,
        readable=readable(instance.command(), instance.directory),
        model=instance.model,
        user=user,
        cores=cores(os.sched_getaffinity(0), instance.limits, instance.name),
    )


def sweep(state_directory: Path) -> None:
    """Remove what processes of this instance left that died with the agent. None may run now."""
    run = state_directory.parent / RUN
    # Where bubblewrap is missing, who left its parent outlives an agent that is killed.
    for process in watch.marked(f"FOREBAY_PLUGIN_SOCKET={run}/", watch.MOST_PROCESSES):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(run, ignore_errors=True)


def _place_for_socket(state_directory: Path) -> Path:
    """Make a directory of one process, beside its state; elsewhere if that is too long a path."""
    run = state_directory.parent / RUN
    longest = run / "12345678" / SOCKET
    if len(os.fsencode(longest)) > SOCKET_PATH_BYTES:
        return Path(tempfile.mkdtemp(prefix="forebay-", dir=os.environ.get("RUNTIME_DIRECTORY")))
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="", dir=run))
