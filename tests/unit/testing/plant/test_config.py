"""What the plant writes is what the agent reads: every file valid, nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.config.load import load
from forebay.registry import Registry
from forebay.testing.plant.catalog import CONVEYOR, METER, PRESS
from forebay.testing.plant.config import MAIN_FILE, Destination, PlantPorts, write_demo_config
from support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_the_agent_accepts_the_configuration(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("demo-line")
    pair.cert.rename(tmp_path / "pki/demo-line.crt")
    pair.key.chmod(0o600)
    authority.ca.rename(tmp_path / "pki/ca.crt")
    destination = Destination("127.0.0.1:7443", tmp_path / "pki", "demo-line")
    path = write_demo_config(tmp_path, PlantPorts(5020, 4840, 1883), destination)
    assert path == tmp_path / MAIN_FILE
    loaded = load(path, Registry(), {})
    tags = {d.spec.name: sum(len(s.tags) for s in d.spec.schemas) for d in loaded.devices}
    assert tags == {"meter": len(METER), "press": len(PRESS), "conveyor": len(CONVEYOR)}
    assert [name for name, _, _ in loaded.uplinks] == ["cloud"]
    assert not list(tmp_path.glob("*.new"))
