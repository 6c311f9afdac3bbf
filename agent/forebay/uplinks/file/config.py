"""What a person writes about files as a destination: where, in which form, when the next begins.

Owns every check that needs no disk. Must not know how files are written.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from forebay.settings import Bytes, Directory, Seconds, UplinkSettings


class FileSettings(UplinkSettings):
    """Files in a directory of this machine, or of one that it has mounted."""

    kind: Literal["file"]
    directory: Annotated[
        Directory, Field(description="Where the files are; made if missing. One for each gateway.")
    ]
    format: Annotated[
        Literal["jsonl", "parquet"],
        Field(description="`jsonl`: a line of JSON for each sample; `parquet`: columns."),
    ] = "jsonl"
    max_size: Annotated[
        Bytes, Field(ge=64 << 10, le=1 << 30, description="A file of this size is finished.")
    ] = 64 << 20
    max_age: Annotated[
        Seconds, Field(ge=0.1, le=86_400, description="So long after its first record, too.")
    ] = 600.0
    min_free: Annotated[
        Bytes,
        Field(ge=0, description="So much stays free on the file system; nothing is written then."),
    ] = 256 << 20
    keep_size: Annotated[
        Bytes | None,
        Field(ge=1 << 20, description="Finished files beyond so much are deleted, oldest first."),
    ] = None
    keep_age: Annotated[
        Seconds | None,
        Field(ge=60, description="Finished files that began longer ago are deleted."),
    ] = None
