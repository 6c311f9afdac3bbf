"""The bounds of what a fleet server may change on this box: `limits.toml`, which belongs to root.

Owns the file's shapes, and who may have written it. `config.bounds` holds a configuration against
them. Nothing that comes over the network writes this file or says where it is.
"""

from __future__ import annotations

import ipaddress
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from forebay.config.adapters import validated
from forebay.config.faults import printable
from forebay.config.sources import parse, read_text
from forebay.errors import ConfigError, Fault
from forebay.settings import Bytes, Settings
from forebay.writing.settings import MAX_RULES, WriteRule

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 256 << 10
MAX_PATTERNS = 1_000
ROOT_UID = 0
_NUMERIC = frozenset("0123456789.*?")

Role = Literal["viewer", "operator", "admin"]
Command = Literal["read", "write", "restart", "log-level", "bundle"]


def _check_endpoint(text: str) -> str:
    """Refuse what could never match, or would match by accident."""
    if text == "*" or text.startswith("/"):
        return text
    host, _, port = text.rpartition(":")
    if not host or not port:
        raise ValueError(f"{text[:64]!r} is not HOST:PORT; write 10.20.0.0/16:502 or plc-*:4840")
    if "/" in host:
        try:
            ipaddress.ip_network(host.strip("[]"))
        except ValueError as error:
            raise ValueError(f"{host[:64]!r} is no network: {error}; write 10.20.0.0/16") from error
    return text


def _check_absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{str(path)[:64]!r} does not begin at /; write the whole path")
    return path


Endpoint = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_check_endpoint)]
Root = Annotated[Path, AfterValidator(_check_absolute)]


class WriteLimits(Settings):
    """The most that `[writes]` of a pushed configuration may allow."""

    enabled: Annotated[bool, Field(description="Whether it may allow anything at all.")] = False
    allow: Annotated[
        tuple[WriteRule, ...],
        Field(
            max_length=MAX_RULES,
            description="What it may allow, as `[[writes.allow]]` says it. A pushed rule may name "
            "a tag only if a rule here does, for the same callers, and must be at least as narrow "
            "as every rule here that names the tag: in range, values and rate. Rules go by the "
            "names of devices and tags, and where a name leads the pushed configuration says: "
            "`endpoints` says which machines these can be.",
        ),
    ] = ()


class CommandLimits(Settings):
    """Which commands of the fleet server are obeyed, by the role of who sent them."""

    viewer: Annotated[tuple[Command, ...], Field(description="Who may look.")] = ("read",)
    operator: Annotated[tuple[Command, ...], Field(description="Who runs the plant.")] = ("read",)
    admin: Annotated[tuple[Command, ...], Field(description="Who looks after the boxes.")] = (
        "read",
        "restart",
        "log-level",
        "bundle",
    )

    def allows(self, role: str, command: str) -> bool:
        """Whether somebody of `role` may send `command`; false for roles that there are not."""
        return role in type(self).model_fields and command in getattr(self, role)


class Limits(Settings):
    """What a pushed configuration, and commands of the fleet server, may do at most."""

    endpoints: Annotated[
        tuple[Endpoint, ...],
        Field(
            max_length=MAX_PATTERNS,
            description="What devices, uplinks and `[metrics.otlp]` may connect to: `HOST:PORT` "
            "with `*` and `?`, a network such as `10.20.0.0/16:502`, the path of a serial port. In "
            "a name they stand for letters between two dots: `plc-*` does not fit "
            "`plc-7.example.org`. A pattern of digits, dots and stars fits addresses only, never "
            "names.",
        ),
    ] = ("*",)
    listen: Annotated[
        bool,
        Field(description="Whether it may answer other machines (`metrics.listen`)."),
    ] = False
    directories: Annotated[
        tuple[Root, ...],
        Field(
            max_length=MAX_PATTERNS,
            description="Directories that it may name, and whose files, beside its own files and "
            "directories below `FOREBAY_STATE/data`.",
        ),
    ] = ()
    plugins: Annotated[
        tuple[Annotated[str, Field(max_length=128)], ...],
        Field(
            max_length=MAX_PATTERNS,
            description="Names of installed plugins that it may run, with `*` and `?`.",
        ),
    ] = ("*",)
    journal_size: Annotated[
        Bytes | None, Field(ge=64 << 20, description="The most that `journal.max_size` may be.")
    ] = None
    package_size: Annotated[
        Bytes,
        Field(ge=1 << 20, description="How large a plugin, model or agent that is sent may be."),
    ] = 1 << 30
    memory: Annotated[
        Bytes | None,
        Field(
            ge=64 << 20,
            description="The most memory that the agent and its plugins may take after a change; "
            "beyond it the configuration before is run again.",
        ),
    ] = None
    writes: Annotated[WriteLimits, Field(description="The most that `[writes]` may allow.")] = (
        WriteLimits()
    )
    commands: Annotated[CommandLimits, Field(description="Commands that are obeyed.")] = (
        CommandLimits()
    )

    def reaches(self, endpoint: str) -> bool:
        """Whether `endpoint`, as `DriverSpec.reaches` gives it, may be connected to."""
        return any(_fits(pattern, endpoint) for pattern in self.endpoints)


def read_limits(path: Path, owner: int = ROOT_UID) -> Limits:
    """Give the bounds that stand in `path`; those of a box without the file, if it is not there.

    File and directory must belong to `owner`, and nobody else may write to them: whoever may could
    give themselves any bounds. Raises ConfigError for one of another, or with faults.
    """
    for place in (path.parent, path):
        fault = _foreign(place, owner)
        if fault is not None:
            raise ConfigError([fault])
    if not path.exists():
        return Limits()
    text = read_text(path, str(path), MAX_BYTES)
    tables: Mapping[str, object] | Fault = (
        text if isinstance(text, Fault) else parse(text, path.name)
    )
    if isinstance(tables, Fault):
        raise ConfigError([tables])
    faults: list[Fault] = []
    limits = validated(Limits, tables, (), faults)
    if limits is None:
        raise ConfigError(faults)
    return limits


def _foreign(path: Path, owner: int) -> Fault | None:
    """Find why others than `owner` could have written `path`."""
    name = printable(str(path))
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Fault(name, f"cannot be looked at: {error.strerror}", "correct its mode")
    if found.st_uid != owner:
        who = "root" if owner == ROOT_UID else f"user {owner}"
        return Fault(name, f"does not belong to {who}", f"chown {who} {name}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Fault(name, "can be written by others than its owner", f"chmod go-w {name}")
    return None


def _fits(pattern: str, endpoint: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("/") or endpoint.startswith("/"):
        return pattern.startswith("/") and fnmatchcase(endpoint, pattern)
    hosts, _, ports = pattern.rpartition(":")
    host, _, port = endpoint.rpartition(":")
    if not fnmatchcase(port, ports):
        return False
    address = _address(host)
    if "/" in hosts:
        network = ipaddress.ip_network(hosts.strip("[]"))
        return address is not None and address in network
    if set(hosts) <= _NUMERIC or address is not None:
        return hosts == "*" or (address is not None and fnmatchcase(host.lower(), hosts.lower()))
    # Part by part: plc-* is a machine of this plant, and not plc-7 of anybody's domain.
    names, wanted = (text.lower().removesuffix(".").split(".") for text in (host, hosts))
    return len(names) == len(wanted) and all(map(fnmatchcase, names, wanted))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
