"""A real PostgreSQL of the test's own: Debian's server, on a directory and a port of its own.

It refuses to run as root, so it runs as the user that Debian made for it; what it makes is its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg

from forebay_fleet.db import place
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLE = "forebay"
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "max_wal_size": "128MB",
    "autovacuum": "off",
    "jit": "off",
    # Else it flushes each file of each database by itself after a crash: minutes, beside others.
    "recovery_init_sync_method": "syncfs",
}


def binaries() -> Path | None:
    """Give the folder of `initdb` and `postgres`, the newest there is; None if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: float(path.parent.parent.name),
    )
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).resolve().parent


class Postgres:
    """The server; `with` starts it and throws away all it had."""

    def __init__(self, folder: Path) -> None:
        """Use the binaries of `folder`."""
        self._binaries = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.port = free_port()

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="forebay-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.home, self._user, self._user)
        self._call(
            *("initdb", "-D", "data", "-U", ROLE, "--auth=trust", "-E", "UTF8", "--no-locale"),
            *("--no-sync", "--wal-segsize=4"),
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self, **settings: str) -> None:
        """Start, unless it runs, and wait until it answers, whatever it has to recover."""
        if self._process is not None:
            return
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, **settings}.items()]
        leash = ["setpriv"]
        if threading.current_thread() is threading.main_thread():
            # Should the tests be killed, it ends too. Of a thread the kernel would take it for the
            # end of all when the thread ends.
            leash += ["--pdeathsig", "QUIT"]
        if self._user is not None:
            leash += ["--reuid", self._user, "--regid", self._user, "--clear-groups"]
        command = [
            *(
                *(leash if len(leash) > 1 else []),
                str(self._binaries / "postgres"),
                "-D",
                str(self.home / "data"),
            ),
            *(f"--unix_socket_directories={self.home}", f"--port={self.port}", *options),
        ]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.home, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                ended = self._process.poll() is not None
                assert not ended, (self.home / "log").read_text("utf-8")
                assert time.monotonic() < end, "PostgreSQL does not answer"
                time.sleep(0.05)

    def end(self, how: signal.Signals) -> None:
        """End it: SIGQUIT at once, as `pg_ctl -m immediate` and a crash do; SIGINT in order."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str) -> str:
        """Give the address of a database."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """Make an empty database; give its address."""
        self._databases += 1
        name = f"fleet{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return self.url(name)

    def copy(self, url: str, name: str) -> None:
        """Make, or replace, the database `name` as a copy of that of `url`, which nobody uses."""
        template = url.rpartition("/")[2]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())

    def site(self, directory: Path) -> Path:
        """Make an empty database the one of a server's data directory; give the directory."""
        place.remember(directory, self.fresh())
        return directory

    def _call(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / name), *arguments],
            cwd=self.home,
            user=self._user,
            group=self._user,
            extra_groups=() if self._user is not None else None,
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
