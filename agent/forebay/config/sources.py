"""Reads configuration files: size, text, TOML; joins what `conf.d` adds to the main file.

Owns the bytes on disk until they are tables. Must not know what the keys mean.
"""

from __future__ import annotations

import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

from forebay.config.faults import dotted, printable
from forebay.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay.config.faults import Where

MAX_TOML_BYTES = 1 << 20
MAX_FRAGMENTS = 1_000
MAX_DEPTH = 16
_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_TOO_DEEP = re.compile(rf"(?:^|[\[{{,])[ \t]*(?:{_KEY_PART}){{{MAX_DEPTH}}}", re.MULTILINE)
"""A dotted key with more parts than tables may have levels. tomllib's time grows with their square,
so that a file within its size could hold the start up for hours."""
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_UNQUOTED = re.compile(r"""^\s*([\w.-]+)\s*=\s*([^"'\[{#\s][^#]*?)\s*(?:#.*)?$""")
_LOOKED_AT = 200
"""Characters of a line that are searched for a hint: its time grows with their square."""
_PLAINLY_TEXT = re.compile(r"[A-Za-z:/\\]|\..*\.")
_SWITCHES = {"true", "false", "yes", "no", "on", "off"}


class Sources:
    """What the files say, joined, and in which file each key stands."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.tables: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self._set_in: dict[Where, str] = {}

    def add(self, tables: Mapping[str, Any], file: str, where: Where = ()) -> None:
        """Join the tables of one file; a key that another file set is a fault that names both."""
        if len(where) >= MAX_DEPTH:
            self.faults.append(
                Fault(file, "is nested too deeply", f"use at most {MAX_DEPTH} levels")
            )
            return
        target = self.tables
        for part in where:
            target = target[str(part)]
        for key, value in tables.items():
            here = (*where, key)
            if key not in target:
                target[key] = {} if isinstance(value, dict) else value
                self._set_in[here] = file
            elif not (isinstance(value, dict) and isinstance(target[key], dict)):
                self.faults.append(
                    Fault(
                        dotted(here),
                        f"is set in {self._set_in[here]} and in {file}",
                        "keep it in one of them",
                    )
                )
                continue
            if isinstance(value, dict):
                self.add(value, file, here)


def read_text(
    path: Path,
    name: str,
    limit_bytes: int,
    *,
    if_large: str = "split it into several smaller files",
    if_not_utf8: str = "save it as UTF-8 in your editor",
) -> str | Fault:
    """Give a file's text, or the fault (at `name`) for which it cannot be had.

    Only regular files of at most `limit_bytes` are read; a byte order mark is dropped. The text
    must be UTF-8. `if_large` and `if_not_utf8` are the hints for those faults.
    """
    data = read_bytes(path, name, limit_bytes, if_large)
    if isinstance(data, Fault):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Fault(f"{name}:{line}", "is not UTF-8 text", if_not_utf8)


def read_bytes(
    path: Path, name: str, limit_bytes: int, if_large: str = "name another file"
) -> bytes | Fault:
    """Give a regular file's bytes, or the fault (at `name`) for which they cannot be had."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            return Fault(name, f"is {what}", "name a file")
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        return unreadable(error, name)
    if len(data) > limit_bytes:
        return Fault(name, f"is larger than {limit_bytes >> 20} MiB", if_large)
    return data


def unreadable(error: OSError | ValueError, name: str) -> Fault:
    """Say why a file cannot be opened, and what to do."""
    if isinstance(error, FileNotFoundError):
        return Fault(name, "does not exist", "create it, or correct the path")
    if isinstance(error, PermissionError):
        return Fault(
            name,
            "cannot be read by this user",
            "give the user that runs forebay the right to read it",
        )
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Fault(name, f"cannot be read: {reason}", "correct the path")


def parse(text: str, name: str) -> dict[str, Any] | Fault:
    """Give the tables of a TOML text, or the fault (at `name`) for which it is none."""
    too_deep = Fault(name, "is nested too deeply", f"use at most {MAX_DEPTH} levels")
    if _TOO_DEEP.search(text):
        return too_deep
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _AT_LINE.search(message)
        path = f"{name}:{at[1]}" if at else name
        reason = _AT_LINE.sub("", message)
        line = text.split("\n")[int(at[1]) - 1] if at else ""
        return Fault(path, f"is not valid TOML: {reason}", _toml_hint(line))
    except ValueError:
        # The one other thing that tomllib lets through: int() refuses more than 4300 digits.
        return Fault(name, "holds a number with thousands of digits", "write a shorter number")
    except RecursionError:
        return too_deep


def _toml_hint(line: str) -> str:
    """Give the next step for a line that is not TOML. Never repeats a value: it may be a secret."""
    unquoted = _UNQUOTED.match(line[:_LOOKED_AT])
    if unquoted is None:
        return "correct this line or the one before it"
    key, value = unquoted[1], unquoted[2]
    if value.casefold() in _SWITCHES:
        return "write true or false, in small letters"
    if _PLAINLY_TEXT.search(value):
        return f'text needs quotes: {key} = "..."'
    return "correct this line or the one before it"


def read_sources(path: Path) -> Sources:
    """Read the main file and every `conf.d/*.toml` beside it, in name order.

    What is wrong with the main file as a whole is told at `path` as it was given.
    """
    sources = Sources()
    folder = path.parent / "conf.d"
    files = [(path, path.name)]
    try:
        fragments = sorted(folder.glob("*.toml"))
    except OSError as error:
        fragments = []
        sources.faults.append(unreadable(error, "conf.d"))
    if len(fragments) > MAX_FRAGMENTS:
        sources.faults.append(
            Fault("conf.d", f"has more than {MAX_FRAGMENTS} files", "join some of them")
        )
    files += [(f, printable(f"conf.d/{f.name}")) for f in fragments[:MAX_FRAGMENTS]]
    for file, name in files:
        place = printable(str(path)) if file is path else name
        text = read_text(file, place, MAX_TOML_BYTES, if_large="move devices to files in conf.d")
        tables = text if isinstance(text, Fault) else parse(text, name)
        if isinstance(tables, Fault):
            sources.faults.append(tables)
        else:
            sources.add(tables, name)
    return sources
