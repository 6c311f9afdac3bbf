"""What is between this machine and another: the name, the route, the port, TLS; or a serial port.

Owns the order of these steps: the first that fails is what is told. Must not know any protocol
behind them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

REACH_S = 5.0
"""How long a connection, and then a handshake, may take."""
_EXPIRED, _NOT_YET, _NAME, _ADDRESS = 10, 9, 62, 64
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH}


class Unreached(NamedTuple):
    """What is in the way, and the next step."""

    text: str
    hint: str


class Secured(NamedTuple):
    """What TLS to a server is to prove: its name, and who may have signed it (PEM, empty: any)."""

    server_name: str
    authorities: str


async def reach(endpoint: str, secured: Secured | None = None) -> Unreached | None:
    """Go to `host:port`, or to the path of a serial port, step by step; None: all of it is well."""
    if endpoint.startswith("/"):
        return next(_serial(Path(endpoint)), None)
    host, _, port = endpoint.rpartition(":")
    host = host.strip("[]")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(REACH_S):
            await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except TimeoutError:
        return Unreached(f"no name server answers for {host}", "check /etc/resolv.conf")
    except OSError as error:
        text = f"the name {host} cannot be found: {error.strerror or error}"
        return Unreached(text, f"check the name, and DNS: getent hosts {host}")
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except TimeoutError:
        text = f"{endpoint} does not answer in {REACH_S:g} s"
        return Unreached(text, "is it on? a firewall between drops what it does not let through")
    except OSError as error:
        return _not_connected(endpoint, error)
    writer.close()
    return None if secured is None else await _handshake(host, int(port), secured)


def _not_connected(endpoint: str, error: OSError) -> Unreached:
    if isinstance(error, ConnectionRefusedError):
        text = f"nobody listens at {endpoint}"
        return Unreached(text, "the machine is there: does the server run, is the port right?")
    if error.errno in _NO_ROUTE:
        host = endpoint.rpartition(":")[0]
        return Unreached(f"there is no route to {endpoint}", f"ip route get {host}")
    return Unreached(f"{endpoint}: {error.strerror or error}", "check address, cable and firewall")


async def _handshake(host: str, port: int, secured: Secured) -> Unreached | None:
    try:
        context = ssl.create_default_context(cadata=secured.authorities or None)
    except (ssl.SSLError, ValueError):
        return Unreached("ca holds no certificate", "it has to be PEM, of who signs the server")
    name = secured.server_name or host
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return _refused(f"{host}:{port}", name, error)
    except (ssl.SSLError, OSError, TimeoutError) as error:
        text = f"{host}:{port} speaks no TLS: {str(error) or type(error).__name__}"
        return Unreached(text, "is it the right port?")
    writer.transport.abort()
    return None


def _refused(endpoint: str, name: str, error: ssl.SSLCertVerificationError) -> Unreached:
    if error.verify_code == _EXPIRED:
        text = f"the certificate of {endpoint} has expired"
        return Unreached(text, "renew it on the server; is this machine's clock right?")
    if error.verify_code == _NOT_YET:
        text = f"the certificate of {endpoint} is not good yet"
        return Unreached(text, "this machine's clock, or the server's, is wrong: timedatectl")
    if error.verify_code in {_NAME, _ADDRESS}:
        text = f"the certificate of {endpoint} is not for {name}"
        return Unreached(text, "use a name that it has, or have it issued for this one")
    text = f"the certificate of {endpoint} was signed by nobody known here"
    return Unreached(text, "is `ca` that of this server? something between may replace it")


def _serial(path: Path) -> Iterator[Unreached]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        text = f"{path} is not there: {error.strerror}"
        yield Unreached(text, "is the adapter plugged in? ls -l /dev/serial/by-id")
        return
    if not stat.S_ISCHR(mode):
        yield Unreached(f"{path} is no serial port", "ls -l /dev/serial/by-id")
    elif not os.access(path, os.R_OK | os.W_OK):
        hint = "add the user to its group: sudo usermod -aG dialout USER; docs/guides/systemd.md"
        yield Unreached(f"this user may not use {path}", hint)
    elif holder := _holder(path):
        text = f"{path} is held by {holder}"
        yield Unreached(text, "one program has a serial port: stop that one, or use another port")


def _holder(path: Path, proc: Path = Path("/proc")) -> str:
    """Give name and number of another process that has a device open; empty if none is seen.

    Of other users' processes only root sees it.
    """
    wanted = path.stat().st_rdev
    for process in proc.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            for handle in (process / "fd").iterdir():
                found = handle.stat()
                if stat.S_ISCHR(found.st_mode) and found.st_rdev == wanted:
                    name = (process / "comm").read_text("utf-8", "replace").strip()
                    return f"{name} (process {process.name})"
        except OSError:  # it has ended, or is another user's
            continue
    return ""
