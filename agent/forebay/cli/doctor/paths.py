"""What is there, as far as this user may look: a doctor is asked by those who may not, too.

Must not know what lies in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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


def owner(path: Path) -> str:
    """Give who owns it by name, by number where this machine has no name for it."""
    try:
        return path.owner()
    except KeyError:
        return str(path.stat().st_uid)
