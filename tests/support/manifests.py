"""What packaging/ says, read: compose, the manifests of Kubernetes with node.conf, the image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from forebay_fleet.cli import app as fleet

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
NODE = (PACKAGING / "nats/node.conf").read_text("utf-8")
IMAGE = re.sub(r"\\\n", " ", (PACKAGING / "image/Containerfile").read_text("utf-8"))
"""With each instruction on one line."""


def compose() -> dict[str, Any]:
    """Give the compose file, with what its anchors stand for."""
    return dict(yaml.safe_load((PACKAGING / "compose/compose.yaml").read_text("utf-8")))


def kubernetes() -> list[dict[str, Any]]:
    """Give every object that kustomization.yaml names."""
    folder = PACKAGING / "kubernetes"
    named = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    files = [folder / name for name in named if name.endswith(".yaml")]
    return [one for file in files for one in yaml.safe_load_all(file.read_text("utf-8"))]


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    """Give the objects of some kinds by name."""
    return {one["metadata"]["name"]: one for one in kubernetes() if one["kind"] in kinds}


def accepted(words: list[str]) -> dict[str, Any]:
    """Give what the command line of `forebay-fleet` makes of `words`. Raises click's UsageError."""
    assert words[0] == "forebay-fleet", words
    command: Any = get_command(fleet)
    return dict(command.commands[words[1]].make_context(words[1], list(words[2:])).params)


def authority(options: dict[str, Any]) -> str:
    """Give the file of NATS' authority that a server or a worker was told of."""
    return str(options["authority"] if "authority" in options else options["stream_ca"])


def ports_of_node() -> set[int]:
    """Give the ports where other machines reach a server of NATS."""
    return {int(port) for port in re.findall(r'^\s*listen: "0\.0\.0\.0:(\d+)"', NODE, re.MULTILINE)}


def variables_of_node() -> set[str]:
    """Give the variables that node.conf takes its values of."""
    return set(re.findall(r"\$(FOREBAY_\w+)", NODE))


def routes_of_node() -> list[tuple[str, int]]:
    """Give the names and ports by which the servers of NATS look for one another."""
    return [(host, int(port)) for host, port in re.findall(r'"nats://([\w-]+):(\d+)"', NODE)]


def as_given(environment: dict[str, str]) -> set[str]:
    """Give the names of variables as they are behind the entrypoint."""
    return {name.removesuffix("_FILE") for name in environment}


def secrets_of_guide() -> dict[str, dict[str, str]]:
    """Give the secrets that the guide has made in a cluster: the file that each key comes of."""
    guide = (ROOT / "docs/guides/scale-out.md").read_text("utf-8").replace("\\\n", " ")
    made = {}
    for name, words in re.findall(r"create secret generic (\S+) (.*)", guide):
        files = re.findall(r"--from-file=(?:(\S+?)=)?(\S+)", words)
        made[name] = {key or path.rpartition("/")[2]: path for key, path in files}
    return made
