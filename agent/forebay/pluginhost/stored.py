"""What a plugin may keep on the disk, which is the journal's, too.

Owns that limit. Must not know what is done about it, or what the files hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import PluginUnavailable
from forebay.pluginhost.watch import MOST_FILES, stored

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.pluginhost.manifest import Limits
    from forebay.pluginhost.watch import Stored

LARGEST = 4
"""So many of the largest files that it may write: all that it keeps."""


def too_full(directory: Path, limits: Limits) -> PluginUnavailable | None:
    """Give what is wrong with what a plugin keeps in `directory`; None if nothing is. Blocks."""
    return judged(stored(directory, MOST_FILES), directory, limits)


def judged(found: Stored, directory: Path, limits: Limits) -> PluginUnavailable | None:
    """Give what is wrong with `found`, which is what a plugin keeps in `directory`."""
    most = LARGEST * limits.file_size
    if found.files > MOST_FILES:
        what = f"it keeps more than {MOST_FILES} files"
    elif found.size_bytes > most:
        what = f"it keeps {found.size_bytes >> 20} MiB on the disk, more than {most >> 20} MiB"
    else:
        return None
    return PluginUnavailable(
        f"{what} in its state",
        hint=f"remove what is not needed from {directory}; if it needs that much, set "
        "limits.file_size",
        kind="disk",
    )
