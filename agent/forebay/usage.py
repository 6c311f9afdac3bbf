"""What this process takes of its machine, as the kernel counts it (proc(5)).

Owns the reading of /proc/self. Must not know what the figures are compared with.
"""

from __future__ import annotations

import re
import resource

_WRITTEN = re.compile(r"^write_bytes: (\d+)$", re.MULTILINE)


def rss_bytes() -> int:
    """Give the resident size of this process now, from statm."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel file, read each second
        return int(file.read().split()[1]) * resource.getpagesize()


def written_bytes() -> int:
    """Give what this process has sent to block devices so far, whatever for; 0 if nobody counts.

    Whole pages: a commit of 100 bytes counts 4 KiB, as it does for the flash. What the file system
    writes of its own is not in it.
    """
    try:
        with open("/proc/self/io", encoding="ascii") as file:  # noqa: PTH123 - as above
            found = _WRITTEN.search(file.read())
    except OSError:  # a kernel without CONFIG_TASK_IO_ACCOUNTING
        return 0
    return int(found[1]) if found else 0
