"""Where things are when nobody says otherwise, and how the environment moves them.

Owns the default paths and the `FOREBAY_*` variables, so that several agents can run on one machine.
Must not read files or know what stands in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = Path("/var/lib/forebay")
CONFIG = Path("/etc/forebay/forebay.toml")
LIMITS = Path("/etc/forebay/limits.toml")
SOCKET = Path("/run/forebay/control.sock")
MAX_SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket: `sun_path` has 108 bytes with its final zero (unix(7))."""


def state_directory(environ: Mapping[str, str]) -> Path:
    """Give the directory of all that is kept: `FOREBAY_STATE`, or `STATE` if unset or empty."""
    return Path(environ.get("FOREBAY_STATE") or STATE).absolute()


def limits_path(environ: Mapping[str, str]) -> Path:
    """Give the file of the bounds of what is pushed: `FOREBAY_LIMITS`, or `LIMITS`."""
    return Path(environ.get("FOREBAY_LIMITS") or LIMITS).absolute()


def socket_path(environ: Mapping[str, str]) -> Path:
    """Give the control socket: `FOREBAY_SOCKET`, or `SOCKET` if unset or empty."""
    return Path(environ.get("FOREBAY_SOCKET") or SOCKET).absolute()
