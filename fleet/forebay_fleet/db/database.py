"""What the server asks of a database: a subset of SQL that SQLite and PostgreSQL both keep.

Owns the protocol. Must not know which database there is, nor any table.

Statements are written for SQLite: `?` or `?1` for values, INTEGER and BLOB for types. They keep to
what both know: ON CONFLICT names its target and qualifies columns, a subquery in FROM has a name,
no `x''`, no scalar `min` and `max`, no `total`, no GLOB. Booleans are bound as 0 and 1. Text sorts
by its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from forebay_fleet.errors import StoreFailed

Row: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """What a statement gives."""

    def fetchone(self) -> Row | None:
        """Give the next row, None behind the last."""

    def fetchall(self) -> list[Row]:
        """Give all rows that are left."""

    def __iter__(self) -> Iterator[Row]:
        """Walk the rows that are left."""


class Database(Protocol):
    """One connection; all calls block, and come from one thread at a time.

    Its methods raise `errors`; `failed` makes ours of them.
    """

    errors: tuple[type[Exception], ...]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each of `rows`."""

    def script(self, sql: str) -> None:
        """Run statements that make tables."""

    def walk(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Run one statement whose rows do not all fit in memory; other statements may run between.

        The rows are those of the moment of asking. Close the iterator, or read it to its end.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what the block does, durably, or nothing of it. Not to be nested."""

    def preparing(self) -> AbstractContextManager[None]:
        """Let no other process make tables, or say who it is, meanwhile."""

    def snapshot(self) -> None:
        """See one state from here until `release`, or the end, whatever others do meanwhile."""

    def release(self) -> None:
        """End `snapshot`."""

    def version(self) -> int:
        """Give a number that differs once somebody else has committed."""

    def failed(self, error: Exception) -> StoreFailed:
        """Give what to raise for one of `errors`."""

    def close(self) -> None:
        """Give up the connection; what was not committed is gone."""
