"""What is said when the disk does not let the journal open or read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import JournalFailed
from forebay.files import no_space

if TYPE_CHECKING:
    from pathlib import Path


def unopened(directory: Path, error: OSError) -> JournalFailed:
    """Say that the journal cannot be opened."""
    return JournalFailed(
        f"the journal in {directory} cannot be opened: {error}",
        hint="check the directory's owner, mode and free space",
    )


def without_room(failure: JournalFailed) -> bool:
    """Whether the journal could not be opened because the disk is full."""
    return isinstance(failure.__cause__, OSError) and no_space(failure.__cause__)


def unreadable(error: OSError) -> JournalFailed:
    """Say that what is in the journal cannot be read."""
    return JournalFailed(
        f"the journal cannot be read: {error}",
        hint="look at the disk (dmesg) and at the number of open files",
    )
