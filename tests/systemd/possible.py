"""Whether this machine can boot a Debian in a container: `python -m systemd.possible`.

Boots one that has nothing of Forebay. Ends with 0, or with 1 and the reason: no root, no mirror of
Debian, no namespaces or control groups of one's own.
"""

from __future__ import annotations

import os
import subprocess
import sys

from systemd.machine import Machine, build


def why_not() -> str:
    """Give the reason, empty if it can."""
    if os.geteuid() != 0:
        return "it needs root"
    try:
        with Machine(build(bare=True)) as machine:
            machine.run("true")
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return ""


if __name__ == "__main__":
    reason = why_not()
    sys.stdout.write(f"no container boots here: {reason}\n" if reason else "")
    sys.exit(bool(reason))
