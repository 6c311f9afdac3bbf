"""What ships in `plugins/`: the host takes each manifest, and no plugin knows the agent."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from forebay.pluginhost.manifest import Manifest
from forebay_plugin.manifest import load

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = sorted((ROOT / "plugins").glob("**/plugin.toml"))
PACKAGES = sorted((ROOT / "plugins").glob("*/src"))
NAMED = {str(path.parent.relative_to(ROOT / "plugins")): path for path in MANIFESTS}


@pytest.mark.parametrize("name", NAMED)
def test_host_and_sdk_read_the_same_from_a_manifest(name: str) -> None:
    path = NAMED[name]
    host, sdk = Manifest.model_validate(tomllib.loads(path.read_text())), load(path)
    assert host.plugin.name == sdk.name == path.parent.name
    assert host.plugin.command == sdk.command
    assert (host.window.rows or 1, host.limits.deadline) == (
        sdk.windows.rows or host.window.rows or 1,
        sdk.deadline_s,
    )
    assert round((host.window.every or 0) * 1e9) == sdk.windows.every_ns
    assert {role: (of.tags, of.types, of.min, of.max) for role, of in host.inputs.items()} == {
        role: (of.tags, of.types, of.least, of.most) for role, of in sdk.inputs.items()
    }
    assert [
        (key, of.kind.value, of.value_type.value, of.min, of.max)
        for key, of in host.outputs.items()
    ] == [
        (one.output.name, one.output.kind.name.lower(), one.output.type.word, one.least, one.most)
        for one in sdk.outputs
    ]
    project = path.with_name("pyproject.toml")
    if project.exists():
        assert tomllib.loads(project.read_text())["project"]["version"] == host.plugin.version


def imported(path: Path) -> set[str]:
    """The first words of what a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.parent.name)
def test_a_plugin_knows_neither_the_agent_nor_other_plugins(package: Path) -> None:
    own = {folder.name for folder in package.iterdir()}
    for path in package.rglob("*.py"):
        ours = {word for word in imported(path) if word.startswith("forebay")}
        assert ours <= own | {"forebay_plugin"}, path
