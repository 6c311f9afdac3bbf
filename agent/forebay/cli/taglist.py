"""Writes a tag list that a device's `tags` may name: for the commands that find out about devices.

Owns where it goes and its CSV form. Must not know what stands in it.
"""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING

from forebay.errors import RequestFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write the rows under their columns' names; to standard output if `path` is `-`.

    Raises RequestFailed if the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:  # a line that begins with # would be a comment
        (quoting if row[0].startswith("#") else writer).writerow(row)
    if str(path) == "-":
        sys.stdout.write(text.getvalue())
        return
    try:
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise RequestFailed(
            f"cannot write {path}: {error.strerror}", hint="name a file that this user may write"
        ) from error
