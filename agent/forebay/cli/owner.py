"""Who a command is that writes into the state directory.

Must not know what is written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def become_owner(state: Path) -> None:
    """As root, be who the state belongs to, so that the agent can replace what is written."""
    if os.geteuid() != 0 or not state.exists():
        return
    owner = state.stat()
    if owner.st_uid:
        os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
