"""A database in PostgreSQL, by psycopg.

Owns what is special about PostgreSQL: the connection and its return, translation of statements,
locks that hold over processes, COPY. Must not know any table but `changes`, which counts commits.
"""

from __future__ import annotations

import ipaddress
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import psycopg
from psycopg import conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper, TextLoader

from forebay_fleet.db.translate import statement, tables
from forebay_fleet.errors import StoreAway, StoreError, StoreFailed, StoreLocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from forebay_fleet.db.database import Cursor, Row

LOCKS = 0x466F7265
"""The class of our advisory locks in a database."""
REGISTRY, PREPARING, STORE, PARTS = 0, 1, 2, 16
"""Their numbers; part n of the store has PARTS + n."""
BUSY_MS = 10_000
"""How long a change of the registry waits for that of another process."""
LAST_OWNER_MS = 3_000
"""How long PostgreSQL may take to see that the last owner of a store was killed."""
WALK_ROWS, WALK_BYTES = (16, 128), 8 << 20
"""Rows that a walk has in memory, the first time and at most, and about how much in them: each may
hold a payload."""
_COUNT = b"UPDATE changes SET n = n + 1 WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
"""Only what changed something counts."""
DEFAULTS: dict[str, str | int] = {
    "application_name": "forebay-fleet",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


class Use(NamedTuple):
    """What a connection is for.

    `schema` has its tables. `serial`: its transactions are one at a time over all processes, and
    are counted. `returns`: after a loss it connects again. `flushes`: a commit is on disk when it
    is answered.
    """

    schema: str
    serial: bool = False
    returns: bool = False
    reads: bool = False
    flushes: bool = True


class PostgresDatabase:
    """See `Database`."""

    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: str, use: Use) -> None:
        """Connect to `url`.

        Raises:
            StoreError: what it names cannot be used.
            StoreAway: it cannot be reached.
        """
        self._url, self._use = url, use
        self._statements: dict[str, str] = {}
        self._walks = self._walked = self._own = 0
        self._held = False
        self.before: Callable[[], None] | None = None
        """What is to be done before each statement of a transaction: rows that wait for COPY."""
        try:
            self._connection = _connect(url, use)
        except psycopg.OperationalError as error:
            raise StoreAway(
                _told(error), hint="is PostgreSQL running, the address right?"
            ) from None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        """See `Database`. Outside of a transaction it is tried again after a lost connection."""
        if self.before is not None:
            self.before()
        return cast("Cursor", self._run(partial(self._execute, sql, values)))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """See `Database`."""
        if self.before is not None:
            self.before()
        self._cursor().executemany(self._known(sql), [tuple(row) for row in rows])

    def script(self, sql: str) -> None:
        """See `Database`."""
        self.plain(tables(sql))

    def plain(self, sql: str) -> None:
        """Run statements in PostgreSQL's own words."""
        self._connection.execute(sql.encode(), prepare=False)

    def walk(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """See `Database`: by a cursor of the server."""
        if not self._walks and self._idle:
            self._run(partial(self.plain, "BEGIN"))
            self._held = True
        self._walks += 1
        self._walked += 1
        name = f"walk{self._walked}"
        try:
            with psycopg.RawServerCursor(self._connection, name) as cursor:
                cursor.execute(self._known(sql).encode(), tuple(values))
                most = WALK_ROWS[0]
                while rows := cursor.fetchmany(most):
                    yield from rows
                    held = sum(len(value) for row in rows for value in row if type(value) is bytes)
                    most = min(2 * most, max(WALK_BYTES * most // (held + 1), 1), WALK_ROWS[1])
        finally:
            self._walks -= 1
            if not self._walks and self._held:
                self._held = False
                self._end("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database`."""
        self._run(self._begin)
        try:
            yield
            counted = self._use.serial and self._connection.execute(_COUNT).rowcount
            self.plain("COMMIT")
        except BaseException:
            self._end("ROLLBACK")
            raise
        self._own += counted

    def snapshot(self) -> None:
        """See `Database`."""
        self._run(partial(self.plain, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))

    def release(self) -> None:
        """See `Database`."""
        self._end("ROLLBACK")

    def version(self) -> int:
        """See `Database`: the commits of others."""
        (count,) = self.execute("SELECT n FROM changes").fetchone() or (0,)
        return int(count) - self._own

    def copy(self, into: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put `rows` into a table by COPY; `types` are those of its columns."""
        sql = f"COPY {into} FROM STDIN (FORMAT BINARY)".encode()
        with self._connection.cursor().copy(sql) as copy:
            copy.set_types(types)
            write = copy.write_row
            for row in rows:
                write(row)

    def lock(self, number: int, *, shared: bool = False, most_ms: int = 0) -> bool:
        """Take a lock until this connection ends, after waiting for who has it; whether it is had.

        It waits at all if `most_ms` is not 0.
        """
        kind = "_shared" if shared else ""
        if not most_ms:
            sql = f"SELECT pg_try_advisory_lock{kind}({LOCKS}, {number})"
            return bool((self.execute(sql).fetchone() or (False,))[0])
        self.plain(f"SET lock_timeout = {most_ms}")
        try:
            self.plain(f"SELECT pg_advisory_lock{kind}({LOCKS}, {number})")
        except psycopg.errors.LockNotAvailable:
            return False
        finally:
            with suppress(psycopg.Error):
                self.plain("RESET lock_timeout")
        return True

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Let no other process make tables meanwhile, or say what it found."""
        self.plain(f"SELECT pg_advisory_lock({LOCKS}, {PREPARING})")
        try:
            yield
        finally:
            with suppress(psycopg.Error):
                self.plain(f"SELECT pg_advisory_unlock({LOCKS}, {PREPARING})")

    def another(self) -> PostgresDatabase:
        """Connect once more, for what must not wait for a transaction's end."""
        return PostgresDatabase(self._url, self._use)

    def failed(self, error: Exception) -> StoreFailed:
        """See `Database`."""
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return StoreAway(_told(error), hint="is PostgreSQL running?")
        return StoreFailed(_told(error), hint="see the log of PostgreSQL")

    def close(self) -> None:
        """See `Database`."""
        self._connection.close()

    @property
    def _idle(self) -> bool:
        return self._connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def _run(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what `work` gives
        """Do `work`; once more if the connection was lost before anything was begun."""
        fresh = self._idle or self._connection.closed
        try:
            return work()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not (self._use.returns and fresh and self._connection.closed):
                raise
            self._connection = _connect(self._url, self._use)
            return work()

    def _begin(self) -> None:
        lock = f"; SELECT pg_advisory_xact_lock({LOCKS}, {REGISTRY})" if self._use.serial else ""
        try:
            self.plain(f"BEGIN{lock}")
        except psycopg.errors.LockNotAvailable:
            self._end("ROLLBACK")
            raise

    def _end(self, word: str) -> None:
        """End a transaction, if the connection still has one."""
        with suppress(psycopg.Error):
            self.plain(word)

    def _execute(self, sql: str, values: Sequence[Any]) -> psycopg.RawCursor[Any]:
        return self._cursor().execute(self._known(sql).encode(), tuple(values))

    def _cursor(self) -> psycopg.RawCursor[Any]:
        return psycopg.RawCursor(self._connection)

    def _known(self, sql: str) -> str:
        found = self._statements.get(sql)
        if found is None:
            if len(self._statements) >= 1_000:
                self._statements.clear()
            found = self._statements[sql] = statement(sql)
        return found


class _BoolDumper(Int8Dumper):
    """Booleans are 0 and 1 in every table."""

    def dump(self, obj: bool) -> bytes:  # noqa: FBT001 - of psycopg
        return b"1" if obj else b"0"


class _TextDumper(StrDumper):
    """PostgreSQL has no text with U+0000, and a box may say one: U+FFFD stands in its place."""

    def dump(self, obj: str) -> Any:  # noqa: ANN401 - of psycopg
        return super().dump(obj.replace("\0", "\ufffd"))


class _SumLoader(TextLoader):
    """The sum of whole numbers, which PostgreSQL gives as a decimal, is a whole number."""

    def load(self, data: Any) -> Any:  # noqa: ANN401 - of psycopg
        text = bytes(data).decode()
        return int(text) if "." not in text else float(text)


def settings(url: str) -> dict[str, Any]:
    """Give what libpq is told: a server elsewhere must show by its certificate that it is the one.

    Raises:
        StoreError: the address cannot be read.
    """
    try:
        found: dict[str, Any] = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise StoreError(
            "the address of the database cannot be read", hint="write postgresql://USER@HOST/NAME"
        ) from None
    for name, value in DEFAULTS.items():
        found.setdefault(name, value)
    if not _here(str(found.get("host") or found.get("hostaddr") or "")):
        found.setdefault("sslmode", "verify-full")
        if found["sslmode"] == "verify-full":
            found.setdefault("sslrootcert", "system")
    return found


def _connect(url: str, use: Use) -> psycopg.Connection[Any]:
    connection = psycopg.connect(**settings(url), autocommit=True)
    try:
        adapters = connection.adapters
        adapters.register_dumper(int, Int8Dumper)
        adapters.register_dumper(bool, _BoolDumper)
        adapters.register_dumper(str, _TextDumper)
        adapters.register_loader("numeric", _SumLoader)
        for name, value in (
            ("search_path", use.schema),
            ("default_transaction_read_only", "on" if use.reads else "off"),
            ("lock_timeout", str(BUSY_MS) if use.serial else "0"),
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        _insist(connection, use)
    except BaseException:
        connection.close()
        raise
    return connection


def _insist(connection: psycopg.Connection[Any], use: Use) -> None:
    """See that a commit is on disk when it is answered. Raises StoreError."""
    (flushes,) = connection.execute("SELECT current_setting('fsync')").fetchone() or ("on",)
    if flushes != "on":
        raise StoreError(
            "PostgreSQL runs with fsync off: a power cut would lose what was acknowledged",
            hint="set fsync = on in its postgresql.conf",
        )
    if not use.flushes:
        connection.execute("SET synchronous_commit = off")
        return
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )


def _here(hosts: str) -> bool:
    """Whether all hosts are this machine: sockets, loopback addresses."""

    def local(host: str) -> bool:
        if not host or host.startswith(("/", "@")) or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False

    return all(local(host) for host in hosts.split(","))


def _told(error: Exception) -> str:
    """Give the first line of what PostgreSQL, or libpq, says: neither tells a password."""
    lines = str(error).strip().splitlines()
    return f"the database failed: {lines[0] if lines else type(error).__name__}"


def made(database: PostgresDatabase, schema: str) -> None:
    """Make a schema, inside `preparing`."""
    database.plain(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def own_whole(database: PostgresDatabase, name: str) -> None:
    """Be the only one who writes to the store. Raises StoreLocked."""
    if not database.lock(STORE, most_ms=LAST_OWNER_MS):
        raise _taken(name)


def own_part(database: PostgresDatabase, part: int, name: str) -> None:
    """Be the only one who writes to a part of the store. Raises StoreLocked."""
    if not database.lock(STORE, shared=True) or not database.lock(PARTS + part):
        raise _taken(f"part {part} of {name}")


def _taken(what: str) -> StoreLocked:
    return StoreLocked(f"{what} is in use by another server", hint="stop it, or run workers")
