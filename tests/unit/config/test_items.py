"""A load that leaves out what is wrong by itself: tags, devices, uplinks, plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.config.load import load, load_items
from forebay.errors import ConfigError
from forebay.registry import Registry
from support.fuzz import examples

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from forebay.config.load import LoadedConfig

HEAD = '[gateway]\nid = "gw"\n'
PLC = '[devices.{0}]\nprotocol = "modbus"\nhost = "10.0.0.{1}"\ntags = "{0}.csv"\n'
COLUMNS = "name,address,type,group,access\n"


def written(folder: Path, text: str, **lists: str) -> Path:
    """Write a configuration and its tag lists."""
    for name, rows in lists.items():
        (folder / f"{name}.csv").write_text(COLUMNS + rows, encoding="utf-8")
    (folder / "forebay.toml").write_text(HEAD + text, encoding="utf-8")
    return folder / "forebay.toml"


def items(path: Path) -> LoadedConfig:
    return load_items(path, Registry(), {"FOREBAY_STATE": str(path.parent / "state")})


def names(config: LoadedConfig) -> dict[str, list[str]]:
    """Give the tags of each device."""
    return {device.spec.name: list(device.spec.tags) for device in config.devices}


def test_one_bad_row_of_five_thousand_leaves_the_others(tmp_path: Path) -> None:
    rows = [f"t{n},holding:{n},uint16,,\n" for n in range(5_000)]
    rows[2_345] = "t2345,holding:no,uint16,,\n"
    path = written(tmp_path, PLC.format("a", 1), a="".join(rows))
    with pytest.raises(ConfigError):
        load(path, Registry(), {})
    config = items(path)
    (device,) = config.devices
    assert len(device.spec.tags) == 4_999
    assert [len(schema.tags) for schema in device.spec.schemas] == [4_999]
    (fault,) = config.quarantined
    assert fault.path == "a.csv:2347"
    assert fault.hint


@given(st.sets(st.integers(0, 599), max_size=590), st.randoms(use_true_random=False))
@examples(25)
def test_every_good_tag_runs_and_every_bad_one_is_told(
    tmp_path_factory: pytest.TempPathFactory, bad: set[int], rng: random.Random
) -> None:
    rows = []
    for n in range(600):
        good = f"t{n},holding:{n},uint16,,\n"
        wrong = [
            f"t{n},holding:no,uint16,,\n",
            f"t{n},holding:{n},uint17,,\n",
            f"t{n},holding:{n},uint16,nowhere,\n",
            f't{n},"holding:{n},uint16,,\n',
            f"t{n},holding:{n},uint16,,,more\n",
            f",holding:{n},uint16,,\n",
        ]
        rows.append(rng.choice(wrong) if n in bad else good)
    path = written(tmp_path_factory.mktemp("c"), PLC.format("a", 1), a="".join(rows))
    config = items(path)
    assert names(config)["a"] == [f"t{n}" for n in range(600) if n not in bad]
    assert len(config.quarantined) == len(bad), "one fault for each, none for the good"


def test_a_device_an_uplink_and_a_plugin_at_fault_cost_only_themselves(tmp_path: Path) -> None:
    text = (
        PLC.format("a", 1)
        + PLC.format("b", 2).replace("modbus", "modbuss")
        + PLC.format("c", 3)
        + PLC.format("d", 4)
        + "timeout = -1\n"
        + PLC.format("e", 5).replace("e.csv", "absent.csv")
        + '[uplinks.x]\nkind = "grpc"\naddress = "no-port"\n'
        + f'[uplinks.y]\nkind = "file"\ndirectory = "{tmp_path}/out"\n'
        + "[plugins.p]\n"
        + '[plugins.a]\nplugin = "absent"\n'
        + '[plugins.q]\nplugin = "absent"\n'
    )
    one = "n,holding:1,uint16,,\n"
    path = written(tmp_path, text, a=one, b=one, c="n,holding:x,uint16,,\n", d=one)
    config = items(path)
    assert list(names(config)) == ["a"]
    assert [uplink.name for uplink in config.uplinks] == ["y"]
    assert [plugin.name for plugin in config.plugins] == ["q"], "told as refused, and looked for"
    told = [fault.path for fault in config.quarantined]
    assert told == [
        "devices.b.protocol",
        "c.csv:2",
        "devices.d.timeout",
        "devices.e.tags",
        "uplinks.x.address",
        "plugins.p",
        "plugins.a",
        "plugins.q.plugin",
    ]


def test_a_device_that_differs_on_a_shared_line_is_left_out(tmp_path: Path) -> None:
    shared = PLC.format("b", 1) + "unit = 2\ntransport = 'rtu_over_tcp'\n"
    first = PLC.format("a", 1) + "unit = 1\n"
    one = "n,holding:1,uint16,,\n"
    config = items(written(tmp_path, first + shared, a=one, b=one))
    assert list(names(config)) == ["a"]
    assert [fault.path for fault in config.quarantined] == ["devices.b.transport"]


def test_a_rule_whose_tag_is_left_out_is_told_and_the_others_hold(tmp_path: Path) -> None:
    rules = '[writes]\nenabled = true\n[[writes.allow]]\ntags = ["a/gone", "a/here"]\n'
    text = PLC.format("a", 1) + rules + "min = 0\nmax = 5\n"
    rows = "gone,holding:x,uint16,,read_write\nhere,holding:2,uint16,,read_write\n"
    config = items(written(tmp_path, text, a=rows))
    assert config.config.writes.enabled
    assert [fault.path for fault in config.quarantined] == [
        "a.csv:2",
        "writes.allow[0].tags[0]",
    ]
    unlimited = text.replace("max = 5\n", "")
    with pytest.raises(ConfigError, match="any number"):
        items(written(tmp_path, unlimited, a=rows))


@pytest.mark.parametrize(
    "text", ["[journal]\nmax_size = 1\n", "[gateway]\nname = 1\n", "x = 1\n", "[log\n"]
)
def test_the_outer_tables_refuse_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "forebay.toml"
    path.write_text((HEAD if "gateway" not in text else "") + text, encoding="utf-8")
    with pytest.raises(ConfigError):
        items(path)


def test_a_sound_configuration_loads_as_ever(tmp_path: Path) -> None:
    path = written(tmp_path, PLC.format("a", 1), a="n,holding:1,uint16,,\n")
    strict = load(path, Registry(), {"FOREBAY_STATE": str(tmp_path / "state")})
    lenient = items(path)
    assert names(strict) == names(lenient)
    assert (lenient.quarantined, lenient.warnings) == ((), ())
