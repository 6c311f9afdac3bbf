"""What a person writes about a folder, and about the columns of the tables in it.

Owns the settings and what makes them valid. Must not know how files are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field

from forebay.errors import Fault
from forebay.model import ValueType
from forebay.settings import (
    Bytes,
    DeviceSettings,
    Directory,
    GroupSettings,
    Name,
    Seconds,
    TagSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.interfaces import DeviceSpec

MAX_CHUNK_BYTES = 512 << 10
BRINGS = frozenset({"file", "id", "sha256", "offset", "total", "data"})
"""The columns of what comes of every file (`chunks`)."""


def _plain(pattern: str) -> str:
    if not pattern or "/" in pattern or "\0" in pattern:
        raise ValueError(f"{pattern!r} is no pattern of file names; write one such as *.jpg")
    return pattern


Pattern = Annotated[str, Field(max_length=255), AfterValidator(_plain)]
"""A shell pattern of file names: `*`, `?`, `[abc]`."""
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=64)]


class FolderTag(TagSettings):
    """One column of the folder's tables; `address` is the column's title."""


class FolderGroup(GroupSettings):
    """Columns that one table has. The folder is looked at every `look`, not every `period`."""

    mode: Annotated[
        Literal["poll", "subscribe"], Field(description="`subscribe` is all that a folder can do.")
    ] = "subscribe"


class FolderSettings(DeviceSettings):
    """One folder. Its subfolders are not looked into."""

    groups: Annotated[
        Mapping[Name, FolderGroup], Field(description="How columns of tables are grouped.")
    ] = {}
    tags: Annotated[
        Path | tuple[dict[str, Any], ...],
        Field(
            description="Columns of the tables that become tags: a CSV file beside this one, or "
            "tables of the same columns. Without any, tables are files as all others."
        ),
    ] = ()
    directory: Annotated[Directory, Field(description="The folder to watch; it must be there.")]
    look: Annotated[
        Seconds, Field(ge=0.05, le=3600, description="Time between two looks into the folder.")
    ] = 1.0
    settle: Annotated[
        Seconds,
        Field(
            ge=0,
            le=86_400,
            description="A file is taken when its size and time have not changed for so long.",
        ),
    ] = 2.0
    files: Annotated[Patterns, Field(description="Names that are taken.")] = ("*",)
    ignore: Annotated[
        Patterns, Field(description="Names that are not taken: files that are still written.")
    ] = ("*.part", "*.partial", "*.tmp", "*~", ".*")
    marker: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[^/\x00]*$",
            description="If not empty: a file is taken when there is one of its name with this "
            "behind it, such as `.ready`.",
        ),
    ] = ""
    tables: Annotated[
        Patterns, Field(description="Names of the files that are tables, if there are tags.")
    ] = ("*.csv",)
    separator: Annotated[
        Literal[",", ";", "\t", "|"], Field(description="What separates a table's columns.")
    ] = ","
    decimal: Annotated[Literal[".", ","], Field(description="The decimal sign in tables.")] = "."
    time_column: Annotated[
        str,
        Field(
            max_length=256,
            description="Title of the column with each row's time: ISO 8601 (UTC unless it says "
            "otherwise), or seconds or milliseconds since 1970. Empty: the file's time.",
        ),
    ] = ""
    after: Annotated[
        Literal["keep", "move", "delete"],
        Field(description="What becomes of a file when all of it is on our disk."),
    ] = "keep"
    done: Annotated[
        Directory | None,
        Field(description="Where `move` puts files; `done` in the folder itself, if not given."),
    ] = None
    chunk: Annotated[
        Bytes, Field(ge=4096, le=MAX_CHUNK_BYTES, description="Most of a file in one record.")
    ] = 256 << 10
    max_size: Annotated[
        Bytes, Field(ge=1, le=1 << 40, description="Larger files are not taken.")
    ] = 1 << 30
    max_files: Annotated[
        int, Field(ge=1, le=100_000, description="Most files taken after one look.")
    ] = 256


def check(spec: DeviceSpec) -> Iterator[Fault]:
    """Find what is wrong between settings and tags."""
    settings = cast("FolderSettings", spec.settings)
    place = f"devices.{spec.name}"
    if settings.stages:
        hint = "leave the stages out: what is in a file is taken as it is"
        yield Fault(f"{place}.stages", "do not apply to a folder", hint)
    if settings.done is not None and settings.after != "move":
        yield Fault(f"{place}.done", "is not used", 'write after = "move", or leave it out')
    for name, tag in spec.tags.items():
        if tag.type in (ValueType.BOOL, ValueType.STRING) and (tag.scale, tag.offset) != (1, 0):
            hint = "leave out scale and offset"
            message = f"{name!r} of type {tag.type} cannot be scaled"
            yield Fault(f"{place}.tags", message, hint, tag=name)
