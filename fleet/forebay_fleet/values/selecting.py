"""Which tags a pattern means.

Must not know values.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from forebay_fleet._proto import batch_pb2 as pb
    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.history import TagRow
    from forebay_fleet.walking import GatewayHistory

MOST_PATTERN = 512


class Selected(NamedTuple):
    """A tag and where its values are: columns of schemas, the oldest known first."""

    path: str
    columns: list[tuple[SchemaView, int]]

    @property
    def told(self) -> pb.Tag:
        """What its newest schema says of it."""
        schema, column = self.columns[-1]
        return schema.message.tags[column]


def select(history: GatewayHistory, pattern: str, most: int) -> list[Selected]:
    """Give the tags that `pattern` means, by path: one by its name, else those that match.

    `*`, `?` and `[abc]` are as in file names, and `*` passes `/` too.

    Raises:
        UsageError: it means none, or more than `most`.
        DecodingError: the store holds a schema that cannot be read.
    """
    device, _, tag = pattern.partition("/")
    rows = history.history.tags(history.gateway_id, (device, tag))
    if not rows:
        rows = [r for r in history.history.tags(history.gateway_id) if matches(r, pattern)]
    found: dict[str, list[TagRow]] = {}
    for row in rows:
        found.setdefault(row.path, []).append(row)
    if not found:
        hint = "names are case-sensitive" if "/" in pattern else "write DEVICE/TAG"
        raise UsageError(f"no tag {pattern!r} on {history.gateway}", hint=hint)
    if len(found) > most:
        raise UsageError(
            f"{pattern!r} means {len(found)} tags, {most} can be asked for at once",
            hint="write a narrower pattern",
        )
    schemas = {
        n: history.schema(n) for n in {row.schema_id for own in found.values() for row in own}
    }
    return [
        Selected(path, [(schemas[row.schema_id], row.column) for row in own])
        for path, own in found.items()
    ]


def matches(row: TagRow, pattern: str) -> bool:
    """Whether a pattern means a tag."""
    return fnmatchcase(row.path, pattern[:MOST_PATTERN])
