"""Which artifacts a configuration needs, by what it says: pure.

`[plugins.NAME] plugin = "anomaly", version = "1.2.0"` needs the plugin of that version,
`model_package = "bearing@3"` the model. Must not know where either lies.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from forebay_fleet.artifacts.repository import Artifact

KINDS = {
    "plugin": fleet_pb2.PACKAGE_PLUGIN,
    "model": fleet_pb2.PACKAGE_MODEL,
    "agent": fleet_pb2.PACKAGE_AGENT,
}
AGENT = "forebay"
"""The name of an agent's artifact."""


def chosen(
    contents: Mapping[str, bytes], artifacts: Sequence[Artifact], agent: str = ""
) -> tuple[list[fleet_pb2.Package], list[str]]:
    """Give the packages that a configuration's files and the version `agent` ask for.

    Beside them the paths that are asked for and not published: they must be on the box already.
    """
    wanted = {path for data in contents.values() for path in _wanted(data)}
    if agent:
        wanted.add(f"agent/{AGENT}/{agent}")
    known = {one.path: one for one in artifacts}
    found = [_package(known[path]) for path in sorted(wanted & known.keys())]
    return found, sorted(wanted - known.keys())


def need_agent(artifacts: Sequence[Artifact], version: str) -> None:
    """See that a version of the agent is published, "" for none. UsageError."""
    if version and f"agent/{AGENT}/{version}" not in {one.path for one in artifacts}:
        hint = "forebay-fleet artifacts list"
        raise UsageError(f"agent {version} is not published", hint=hint)


def _wanted(data: bytes) -> Iterator[str]:
    """Give the paths of what one file asks for; a file that is none of ours asks for nothing."""
    if b"plugins" not in data and b"\\" not in data:  # a rollout asks of ten thousand files
        return
    try:
        tables = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return
    plugins = tables.get("plugins")
    for table in plugins.values() if isinstance(plugins, dict) else ():
        if isinstance(table, dict):
            yield from _of_table(table)


def _of_table(table: Mapping[str, Any]) -> Iterator[str]:
    plugin, version = table.get("plugin"), table.get("version")
    if isinstance(plugin, str) and isinstance(version, str):
        yield f"plugin/{plugin}/{version}"
    model = table.get("model_package")
    if isinstance(model, str) and "@" in model:
        yield "model/" + model.replace("@", "/", 1)


def _package(one: Artifact) -> fleet_pb2.Package:
    return fleet_pb2.Package(
        name=one.name,
        type=KINDS[one.type],
        version=one.version,
        target=one.path,
        sha256=one.sha256,
    )
