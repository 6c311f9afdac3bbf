"""What a person writes about files as a destination: where, in which form, when the next begins.

Owns every check that needs no disk. Must not know how files are written.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forebay.settings import Bytes, Directory, Seconds, UplinkSettings

_MARGIN_S = 30.0


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
    ack_deadline: Annotated[
        Seconds,
        Field(gt=0, le=90_000, description="Longest wait for a record to be durable in a file."),
    ] = 1800.0

    @model_validator(mode="after")
    def _may_finish(self) -> Self:
        if self.format == "parquet" and self.ack_deadline < self.max_age + _MARGIN_S:
            raise ValueError(
                "a Parquet file is durable only when it is finished; make ack_deadline at least "
                f"{_MARGIN_S:g} s longer than max_age"
            )
        return self
