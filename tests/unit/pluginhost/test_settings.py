"""A manifest, what a person sets over it, and what the two come to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from forebay.model import ValueType
from forebay.pluginhost.manifest import Manifest
from forebay.pluginhost.seams import Output, OutputKind
from forebay.pluginhost.settings import Instance, PluginSettings, combine

if TYPE_CHECKING:
    from forebay.errors import Fault


def manifest(**tables: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "plugin": {
                "name": "anomaly",
                "version": "0.1.0",
                "command": ["{python}", "{dir}/run.py"],
            },
            "inputs": {"values": {"tags": ["pump/*"], "max": 8}},
            "outputs": {"score": {"min": 0, "max": 1}},
            "limits": {"memory": "128 MiB"},
            "settings": {"a": 1, "b": 2},
            **tables,
        }
    )


def both(
    of: Manifest, directory: Path = Path("/plugin"), **settings: Any
) -> tuple[Instance | None, list[str]]:
    faults: list[Fault] = []
    given = PluginSettings.model_validate(settings)
    instance = combine("pump-anomaly", given, of, directory, faults)
    return instance, [str(fault) for fault in faults]


def combined(of: Manifest, directory: Path = Path("/plugin"), **settings: Any) -> Instance:
    instance, faults = both(of, directory, **settings)
    assert instance is not None, faults
    return instance


def test_what_a_person_sets_goes_over_the_manifest() -> None:
    instance = combined(
        manifest(window={"rows": 64, "stride": 16}),
        inputs={"values": ["line1/*", "line2/T*"]},
        window={"rows": 32},
        limits={"cpu": 2.0},
        start="newest",
        settings={"b": 3},
        outputs={"score": {"max": 2}, "extra": {"unit": "mm"}},
    )
    assert instance.inputs["values"].tags == ("line1/*", "line2/T*")
    assert instance.inputs["values"].max == 8
    assert (instance.window.rows, instance.window.stride) == (32, 16)
    assert (instance.limits.cpu, instance.limits.memory) == (2.0, 128 << 20)
    assert instance.start == "newest"
    assert instance.settings == {"a": 1, "b": 3}
    assert instance.outputs == (
        Output("score", OutputKind.TAG, ValueType.FLOAT64, "", 0, 2),
        Output("extra", OutputKind.TAG, ValueType.FLOAT64, "mm"),
    )


def test_a_window_of_another_kind_replaces_the_manifests() -> None:
    instance = combined(manifest(window={"rows": 64}), window={"every": "5 s"})
    assert (instance.window.rows, instance.window.every) == (None, 5.0)
    assert instance.window.timed


def test_what_does_not_fit_is_told_with_its_place() -> None:
    outputs = {"stop": {"kind": "write", "type": "bool"}, "score": {}}
    _, faults = both(
        manifest(outputs=outputs),
        inputs={"vlaues": ["a/b"]},
        writes={"score": "a/b"},
        window={"length": "5 s"},
    )
    assert [fault.split(":")[0] for fault in faults] == [
        "plugins.pump-anomaly.inputs.vlaues",
        "plugins.pump-anomaly.writes.score",
        "plugins.pump-anomaly.window",
        "plugins.pump-anomaly.writes.stop",
    ]
    _, faults = both(manifest(outputs=outputs), writes={"stop": "press/*"})
    assert "is a pattern, not one tag" in faults[0]
    _, faults = both(manifest(outputs={}))
    assert "gives nothing" in faults[0]


def test_a_write_gets_its_tag_from_the_person_or_the_manifest() -> None:
    of = manifest(outputs={"stop": {"kind": "write", "type": "bool", "tag": "press/Stop"}})
    assert combined(of).outputs[0].target == "press/Stop"
    assert combined(of, writes={"stop": "mill/Stop"}).outputs[0].target == "mill/Stop"


def test_the_command_names_an_interpreter_and_the_directory(tmp_path: Path) -> None:
    assert combined(manifest(), tmp_path).command() == (sys.executable, f"{tmp_path}/run.py")
    own = tmp_path / "venv/bin/python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert combined(manifest(), tmp_path).command()[0] == str(own)
    assert combined(manifest(), tmp_path).model is None
    (tmp_path / "model").mkdir()
    assert combined(manifest(), tmp_path).model == tmp_path / "model"


def test_types_follow_from_kinds() -> None:
    of = manifest(outputs={"told": {"kind": "event"}, "image": {"kind": "blob"}, "score": {}})
    assert [output.type for output in combined(of).outputs] == [
        ValueType.STRING,
        ValueType.BYTES,
        ValueType.FLOAT64,
    ]


@pytest.mark.parametrize(
    "tables",
    [
        {"plugin": {"name": "Anomaly", "version": "1", "command": ["x"]}},
        {"plugin": {"name": "anomaly", "version": "../1", "command": ["x"]}},
        {"plugin": {"name": "anomaly", "version": "1", "command": []}},
        {"plugin": {"name": "anomaly", "version": "1", "command": ["x"], "protocol": 2}},
        {"inputs": {}},
        {"inputs": {"values": {"tags": ["pump"]}}},
        {"window": {"rows": 4, "every": "1 s"}},
        {"window": {"rows": 0}},
        {"outputs": {"told": {"kind": "event", "type": "float64"}}},
        {"outputs": {"score": {"tag": "a/b"}}},
        {"outputs": {"score": {"min": 2, "max": 1}}},
        {"outputs": {"score": {"max": float("nan")}}},
        {"limits": {"memory": "1 KiB"}},
        {"surprise": {}},
    ],
)
def test_a_manifest_that_cannot_be_is_refused(tables: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        manifest(**tables)
