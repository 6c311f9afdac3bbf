"""What every installed driver, stage and uplink must be, whoever wrote it: found by entry point.

Nothing here names an adapter; installing one is enough to be judged.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from forebay.interfaces import DriverSpec, StageSpec, UplinkSpec
from forebay.registry import DRIVERS, STAGES, UPLINKS, Registry
from forebay.settings import DeviceSettings, StageSettings, TagSettings, UplinkSettings

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

GROUPS = (DRIVERS, STAGES, UPLINKS)
ADAPTERS = sorted(
    (entry for group in GROUPS for entry in entry_points(group=group)),
    key=lambda entry: (entry.group, entry.name),
)
# What the core itself may import; everything else that comes in with a SPEC is the adapter's.
CORE = ("forebay.interfaces", "forebay.settings", "forebay.registry", "forebay.columnar")
LOADER = """
import importlib, json, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
before = set(sys.modules)
module, _, attribute = sys.argv[2].partition(":")
getattr(importlib.import_module(module), attribute)
found = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(found - set(sys.stdlib_module_names))))
"""

each_adapter = pytest.mark.parametrize("entry", ADAPTERS, ids=lambda e: f"{e.group}.{e.name}")


def folder(entry: EntryPoint) -> Traversable:
    return files(entry.module)


def spec_of(entry: EntryPoint) -> DriverSpec | StageSpec | UplinkSpec:
    registry = Registry()
    if entry.group == DRIVERS:
        return registry.driver(entry.name, "tests")
    if entry.group == STAGES:
        return registry.stage(entry.name, "tests")
    return registry.uplink(entry.name, "tests")


def sample_of(entry: EntryPoint) -> dict[str, Any]:
    return tomllib.loads((folder(entry) / "sample.toml").read_text(encoding="utf-8"))


def test_something_is_installed() -> None:
    assert {entry.group for entry in ADAPTERS} == set(GROUPS)


@each_adapter
def test_the_registry_gives_a_spec_of_its_kind(entry: EntryPoint) -> None:
    spec = spec_of(entry)
    if isinstance(spec, DriverSpec):
        assert (entry.group, entry.name) == (DRIVERS, spec.protocol)
        assert issubclass(spec.settings, DeviceSettings)
        assert issubclass(spec.tag, TagSettings)
        assert spec.modes
        assert spec.modes <= {"poll", "subscribe"}
    elif isinstance(spec, StageSpec):
        assert (entry.group, entry.name) == (STAGES, spec.kind)
        assert issubclass(spec.settings, StageSettings)
    else:
        assert (entry.group, entry.name) == (UPLINKS, spec.kind)
        assert issubclass(spec.settings, UplinkSettings)


@each_adapter
def test_loading_the_spec_imports_no_library(entry: EntryPoint) -> None:
    """Only `build` may: a daemon pays for the protocols it speaks, and `check` for none."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADER, ",".join(CORE), entry.value],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    own = {"forebay", entry.module.partition(".")[0]}
    assert set(json.loads(ran.stdout)) - own == set()


@each_adapter
def test_what_it_requires_is_an_extra_of_its_distribution(entry: EntryPoint) -> None:
    spec = spec_of(entry)
    assert entry.dist is not None
    extras = set(entry.dist.metadata.get_all("Provides-Extra") or ())
    assert set(getattr(spec, "requires", {}).values()) <= extras


@each_adapter
def test_it_is_documented(entry: EntryPoint) -> None:
    text = (folder(entry) / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(text.splitlines()) > 10


@each_adapter
def test_every_setting_says_what_it_is(entry: EntryPoint) -> None:
    spec = spec_of(entry)
    models = [spec.settings, spec.tag] if isinstance(spec, DriverSpec) else [spec.settings]
    silent = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not _described(model, name) and not _nested(field.annotation)
    ]
    assert silent == []


@each_adapter
def test_its_sample_is_valid(entry: EntryPoint) -> None:
    spec, sample = spec_of(entry), sample_of(entry)
    if isinstance(spec, DriverSpec):
        _check_devices(spec, sample)
    elif isinstance(spec, StageSpec):
        devices = sample.pop("devices")
        stages = [stage for device in devices.values() for stage in device.pop("stages")]
        assert sample == {}
        assert not any(devices.values()), "only the stage belongs into its sample"
        assert [spec.settings.model_validate(stage).kind for stage in stages] == [entry.name]
    else:
        uplinks = sample.pop("uplinks")
        assert sample == {}
        kinds = [spec.settings.model_validate(table).kind for table in uplinks.values()]
        assert kinds == [entry.name] * len(uplinks)
        assert uplinks


@each_adapter
def test_its_settings_refuse_what_they_do_not_know(entry: EntryPoint) -> None:
    spec = spec_of(entry)
    models = [spec.settings, spec.tag] if isinstance(spec, DriverSpec) else [spec.settings]
    for model in models:
        assert model.model_config.get("extra") == "forbid", model.__name__
        assert model.model_config.get("frozen") is True, model.__name__


def _check_devices(spec: DriverSpec, sample: dict[str, Any]) -> None:
    devices = sample.pop("devices")
    assert sample == {}
    assert devices
    for table in devices.values():
        settings = spec.settings.model_validate(table)
        assert settings.protocol == spec.protocol
        assert isinstance(settings.tags, tuple)
        tags = [spec.tag.model_validate(row) for row in settings.tags]
        assert len({tag.name for tag in tags}) == len(tags) > 0
        assert {tag.group for tag in tags} <= set(settings.groups) | {"default"}
        assert {group.mode for group in settings.groups.values()} <= spec.modes


def _described(model: type[BaseModel], name: str) -> bool:
    """Whether the field says what it is, here or where it was first declared."""
    models = [base for base in model.__mro__ if issubclass(base, BaseModel)]
    return any(base.model_fields[name].description for base in models if name in base.model_fields)


def _nested(annotation: object) -> bool:
    """Whether a field is a table of its own, whose class says what it is."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def test_the_loader_sees_a_library() -> None:
    """The check above can fail: a module that imports a library is caught."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADER, ",".join(CORE), "grpc:StatusCode"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "grpc" in json.loads(ran.stdout)
