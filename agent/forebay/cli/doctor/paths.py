"""What is there, as far as this user may look: a doctor is asked by those who may not, too.

Must not know what lies in it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

PREFIX = ".forebay-doctor."


def is_there(path: Path) -> bool:
    """Whether this user can see something at `path`; `Path.exists` raises where it may not look."""
    try:
        return path.exists()
    except PermissionError:
        return False


def nearest(path: Path) -> Path:
    """Give `path`, or the folder nearest above it that can be seen."""
    while not is_there(path) and path != path.parent:
        path = path.parent
    return path


def can_make_in(folder: Path) -> bool:
    """Whether this user can make something in `folder`, or where that is to be made.

    What mode bits say is not all, so one is made, and removed.
    """
    try:
        Path(tempfile.mkdtemp(prefix=PREFIX, dir=nearest(folder))).rmdir()
    except OSError:
        return False
    return True


def owner(path: Path) -> str:
    """Give who owns it by name, by number where this machine has no name for it."""
    try:
        return path.owner()
    except KeyError:
        return str(path.stat().st_uid)
