"""limits.toml: who may have written it, what it lets be reached, written and run."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from forebay.config.bounds import check_limits
from forebay.config.limits import Limits, WriteLimits, read_limits
from forebay.config.load import load, load_items
from forebay.errors import ConfigError
from forebay.registry import Registry
from forebay.writing.rules import Action, Allowed, Ask, Pace, decide
from forebay.writing.settings import WriteRule, WritesSettings

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.config.load import LoadedConfig

HEAD = '[gateway]\nid = "gw"\n'
PLC = """
[devices.plc]
protocol = "modbus"
host = "10.20.1.5"
[[devices.plc.tags]]
name = "Setpoint"
address = "holding:3"
type = "int16"
access = "read_write"
"""
WRITES = """
[writes]
enabled = true
[[writes.allow]]
tags = ["plc/Setpoint"]
min = {0}
max = {1}
rate = "{2}"
"""


def loaded(folder: Path, text: str, *, items: bool = False) -> LoadedConfig:
    """Load a configuration as it would be pushed: with a state directory beside its own."""
    own = folder / "state/config/gen-1"
    own.mkdir(parents=True, exist_ok=True)
    (own / "forebay.toml").write_text(HEAD + text, encoding="utf-8")
    environ = {"FOREBAY_STATE": str(folder / "state")}
    return (load_items if items else load)(own / "forebay.toml", Registry(), environ)


def refused(folder: Path, text: str, limits: Limits | None = None) -> list[str]:
    """Give where a configuration goes beyond `limits`, by default those of a box without any."""
    return [fault.path for fault in check_limits(loaded(folder, text), limits or Limits())]


def limited(folder: Path, text: str) -> Limits:
    """Read limits of this text, of a file that this user owns."""
    path = folder / "limits.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    folder.chmod(0o755)
    return read_limits(path, os.getuid())


def test_without_a_file_nothing_is_written_and_nothing_outside_is_named(tmp_path: Path) -> None:
    limits = read_limits(tmp_path / "limits.toml", os.getuid())
    assert limits == Limits()
    assert refused(tmp_path, PLC, limits) == []
    assert refused(tmp_path, PLC + WRITES.format(0, 10, "1/s"), limits) == ["writes.enabled"]
    lake = '[uplinks.lake]\nkind = "file"\ndirectory = "{0}"\n'
    assert refused(tmp_path, lake.format(tmp_path / "lake")) == ["uplinks.lake.directory"]
    assert refused(tmp_path, lake.format(tmp_path / "state/data/lake")) == []
    assert refused(tmp_path, lake.format(tmp_path / "state/plugins/installed")) != []
    assert refused(tmp_path, lake.format(tmp_path / "state/data/../fleet")) != []
    journal = f'[journal]\ndirectory = "{tmp_path / "elsewhere"}"\n'
    assert refused(tmp_path, journal) == ["journal.directory"]
    running = loaded(tmp_path, journal)
    assert not check_limits(running, Limits(), running), "it may stay where it is"


def test_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "state/data").mkdir(parents=True)
    (tmp_path / "state/data/lake").symlink_to(tmp_path)
    lake = f'[uplinks.lake]\nkind = "file"\ndirectory = "{tmp_path}/state/data/lake/out"\n'
    assert refused(tmp_path, lake) == ["uplinks.lake.directory"]


def test_a_file_is_the_configurations_own_or_in_a_directory_that_is_listed(tmp_path: Path) -> None:
    broker = '[uplinks.b]\nkind = "mqtt"\nhost = "b"\nusername = "u"\npassword_file = "{0}"\n'
    own, keys = tmp_path / "state/config/gen-1", tmp_path / "state/fleet"
    for folder in (own, keys, tmp_path / "etc"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "secret").write_text("x", encoding="utf-8")
        (folder / "secret").chmod(0o600)
    assert refused(tmp_path, broker.format("secret")) == []
    place = "uplinks.b.password_file"
    assert refused(tmp_path, broker.format(tmp_path / "etc/secret")) == [place]
    listed = Limits(directories=(tmp_path / "etc", tmp_path / "state"))
    assert refused(tmp_path, broker.format(tmp_path / "etc/secret"), listed) == []
    assert refused(tmp_path, broker.format(keys / "secret"), listed) == [place], "the agent's keys"


def test_plugins_run_by_a_name_that_is_allowed_and_never_by_a_path_of_their_own(
    tmp_path: Path,
) -> None:
    code = tmp_path / "state/config/gen-1/evil"
    code.mkdir(parents=True)
    (code / "plugin.toml").write_text("", encoding="utf-8")
    assert refused(tmp_path, '[plugins.p]\npath = "evil"\n') == ["plugins.p.path"]
    named = '[plugins.p]\nplugin = "other"\n'
    assert refused(tmp_path, named) == []
    assert refused(tmp_path, named, Limits(plugins=("anomaly", "forebay-*"))) == ["plugins.p"]
    assert refused(tmp_path, named, Limits(plugins=("oth*",))) == []


def test_nobody_far_away_opens_a_door_nor_reads_a_file_by_it(tmp_path: Path) -> None:
    elsewhere, own = tmp_path / "etc", tmp_path / "state/config/gen-1"
    for folder in (elsewhere, own):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("c.pem", "k.pem", "t"):
            (folder / name).write_text("x" * 16)
            (folder / name).chmod(0o600)
    table = '[metrics]\nenabled = true\nlisten = "{0}"\n{1}'
    files = 'certificate = "{0}c.pem"\nkey = "{0}k.pem"\ntoken = "{0}t"\n'
    assert refused(tmp_path, table.format("127.0.0.1", "")) == []
    assert refused(tmp_path, table.format("192.0.2.4", files.format(""))) == ["metrics.listen"]
    opened = Limits(listen=True)
    assert refused(tmp_path, table.format("192.0.2.4", files.format("")), opened) == []
    named = ["metrics.certificate", "metrics.key", "metrics.token"]
    assert (
        refused(tmp_path, table.format("192.0.2.4", files.format(f"{elsewhere}/")), opened) == named
    )


def test_a_pushed_configuration_tells_no_collector_beyond_what_may_be_reached(
    tmp_path: Path,
) -> None:
    table = '[metrics.otlp]\nhost = "collector.example.org"\ntoken = "{0}"\n'
    own = tmp_path / "state/config/gen-1"
    own.mkdir(parents=True)
    (own / "token").write_text("x" * 16)
    (own / "token").chmod(0o600)
    narrow = Limits(endpoints=("collector.example.org:4318",))
    assert refused(tmp_path, table.format("token")) == []
    assert refused(tmp_path, table.format("token"), narrow) == ["metrics.otlp"]
    elsewhere = tmp_path / "token"
    elsewhere.write_text("x" * 16)
    elsewhere.chmod(0o600)
    assert refused(tmp_path, table.format(elsewhere)) == ["metrics.otlp.token"]


def test_sizes(tmp_path: Path) -> None:
    limits = limited(tmp_path, 'journal_size = "1 GiB"\nmemory = "64 MiB"\n')
    assert refused(tmp_path, "", limits) == ["journal.max_size"], "60 % of the disk may be more"
    text = '[journal]\nmax_size = "{0}"\nmemory = "{1}"\n'
    assert refused(tmp_path, text.format("1 GiB", "32 MiB"), limits) == []
    both = ["journal.max_size", "journal.memory"]
    assert refused(tmp_path, text.format("1025 MiB", "65 MiB"), limits) == both


@pytest.mark.parametrize(
    ("pattern", "endpoint", "fits"),
    [
        ("*", "evil.example:1", True),
        ("10.20.0.0/16:502", "10.20.255.1:502", True),
        ("10.20.0.0/16:502", "10.21.0.1:502", False),
        ("10.20.0.0/16:502", "10.20.0.1:503", False),
        ("10.20.0.0/16:*", "10.20.evil.example:1", False),
        ("10.20.*:502", "10.20.7.9:502", True),
        ("10.20.*:502", "10.20.evil.example:502", False),
        ("plc-*:4840", "PLC-7:4840", True),
        ("plc-*:4840", "plc-7:4841", False),
        ("plc-*:4840", "plc-7.:4840", True),
        ("plc-*:4840", "plc-7.evil.example:4840", False),
        ("*.plant.example:4840", "plc-7.plant.example:4840", True),
        ("*.plant.example:4840", "evil.example:4840", False),
        ("plc-?.plant:*", "plc-7.plant:1", True),
        ("plc*:502", "10.20.0.1:502", False),
        ("*:502", "a.b.c:502", True),
        ("*:4840", "anything:4840", True),
        ("[fd00::/8]:502", "[fd00::1]:502", True),
        ("[fd00::/8]:502", "[fe80::1]:502", False),
        ("/dev/ttyUSB*", "/dev/ttyUSB1", True),
        ("/dev/ttyUSB*", "/dev/mem", False),
        ("*:*", "/dev/mem", False),
    ],
)
def test_what_may_be_reached(pattern: str, endpoint: str, *, fits: bool) -> None:
    assert Limits(endpoints=(pattern,)).reaches(endpoint) is fits


def test_every_adapter_says_what_it_reaches(tmp_path: Path) -> None:
    registry = Registry()
    for name in registry.names("forebay.drivers"):
        assert registry.driver(name, "").reaches is not None, name
    for name in registry.names("forebay.uplinks"):
        assert registry.uplink(name, "").reaches is not None, name
    limits = limited(tmp_path, 'endpoints = ["10.20.0.0/16:502", "broker:8883"]\n')
    broker = '[uplinks.b]\nkind = "mqtt"\nhost = "{0}"\n'
    assert refused(tmp_path, PLC + broker.format("broker"), limits) == []
    assert refused(tmp_path, broker.format("thief"), limits) == ["uplinks.b"]
    assert refused(tmp_path, PLC.replace("10.20", "10.21"), limits) == ["devices.plc"]
    opcua = '[devices.o]\nprotocol = "opcua"\nendpoint = "opc.tcp://{0}"\n'
    opcua += 'security_policy = "None"\n[[devices.o.tags]]\nname="a"\naddress="ns=2;s=a"\n'
    opcua += 'type = "float64"\n'
    assert refused(tmp_path, opcua.format("10.20.0.1:502/x"), limits) == []
    assert refused(tmp_path, opcua.format("10.20.0.1:4840"), limits) == ["devices.o"]
    serial = '[devices.s]\nprotocol = "modbus"\ntransport = "rtu"\nserial_port = "/dev/ttyS0"\n'
    serial += '[[devices.s.tags]]\nname = "a"\naddress = "holding:1"\ntype = "int16"\n'
    assert refused(tmp_path, serial, limits) == ["devices.s"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("endpoints = ['10.20.0.5/16:502']", "endpoints[0]"),
        ("endpoints = ['plc']", "endpoints[0]"),
        ("directories = ['data']", "directories[0]"),
        ("directories = ['/a/../b']", "directories[0]"),
        ("speed = 1", "speed"),
        ("[commands]\nadmin = ['reboot']", "commands.admin[0]"),
        ("=", "limits.toml:1"),
    ],
)
def test_a_file_at_fault_says_where(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        limited(tmp_path, text)
    assert what in [fault.path for fault in caught.value.faults]
    assert all(fault.hint for fault in caught.value.faults)


def test_only_the_owner_may_have_written_it(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    limited(tmp_path, "")
    for place, mode in ((path, 0o664), (path, 0o646), (tmp_path, 0o775), (tmp_path, 0o777)):
        before = place.stat().st_mode & 0o777
        place.chmod(mode)
        with pytest.raises(ConfigError, match="can be written by others"):
            read_limits(path, os.getuid())
        place.chmod(before)
    with pytest.raises(ConfigError, match="does not belong to user"):
        read_limits(path, os.getuid() + 1)


def test_roles_and_commands() -> None:
    commands = Limits().commands
    assert commands.allows("admin", "bundle")
    assert not commands.allows("admin", "write"), "nobody writes unless the box says so"
    assert not commands.allows("root", "read")
    assert not commands.allows("__class__", "read")


def rules(**given: object) -> st.SearchStrategy[WriteRule]:
    """Rules about one tag, of all widths."""
    bound = st.none() | st.integers(-20, 20)
    return st.builds(
        lambda low, high, values, by, rate: WriteRule(
            tags=("plc/Setpoint",),
            min=low,
            max=high if low is None or high is None or high >= low else low,
            values=tuple(values),
            by=tuple(sorted(by)),
            rate=rate,
            **given,
        ),
        bound,
        bound,
        st.lists(st.integers(-20, 20), max_size=3),
        st.sets(
            st.sampled_from(["operator", "uid:1", "uid:2", "plugin:*", "plugin:a"]),
            min_size=1,
            max_size=2,
        ),
        st.sampled_from(["1/s", "1/10 s", "5/10 s", "10/min", "2/3 s"]),
    )


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(
    st.lists(rules(), min_size=1, max_size=2),
    st.lists(rules(), min_size=1, max_size=2),
    st.sampled_from(["uid:1", "uid:2", "uid:9", "plugin:a", "plugin:b"]),
    st.integers(-22, 22),
)
def test_what_passes_lets_nothing_out_that_the_bounds_do_not(
    tmp_path_factory: pytest.TempPathFactory,
    pushed: list[WriteRule],
    bounds: list[WriteRule],
    who: str,
    value: int,
) -> None:
    config = CONFIG.get(tmp_path_factory)
    mine = WritesSettings(enabled=True, allow=tuple(pushed))
    most = WritesSettings(enabled=True, allow=tuple(bounds))
    with_writes = CONFIG.with_writes(config, mine)
    faults = check_limits(with_writes, Limits(writes=WriteLimits(enabled=True, allow=most.allow)))
    assume(not faults)
    tags = config.devices[0].spec.tags
    ask = Ask(Action.WRITE, "plc", "Setpoint", (value,), "id", who)
    pace, bound_pace = Pace(), Pace()
    for tenth in range(120):
        if isinstance(decide(ask, mine, tags, pace, tenth / 10), Allowed):
            within = decide(ask, most, tags, bound_pace, tenth / 10)
            assert isinstance(within, Allowed), f"at {tenth / 10} s: {within}"


class _Config:
    """One configuration with a writable tag, loaded once."""

    def __init__(self) -> None:
        self._found: list[LoadedConfig] = []

    def get(self, factory: pytest.TempPathFactory) -> LoadedConfig:
        if not self._found:
            self._found.append(loaded(factory.mktemp("limits"), PLC))
        return self._found[0]

    def with_writes(self, config: LoadedConfig, writes: WritesSettings) -> LoadedConfig:
        return replace(config, config=config.config.model_copy(update={"writes": writes}))


CONFIG = _Config()


def test_rules_of_writes_that_are_wider(tmp_path: Path) -> None:
    limits = limited(tmp_path, WRITES.format(0, 80, "1/s"))
    assert refused(tmp_path, PLC + WRITES.format(0, 80, "1/s"), limits) == []
    assert refused(tmp_path, PLC + WRITES.format(10, 20, "1/10 s"), limits) == []
    for wider in ((-1, 80, "1/s"), (0, 81, "1/s"), (0, 80, "2/s")):
        assert refused(tmp_path, PLC + WRITES.format(*wider), limits) == ["writes.allow[0]"]
    method = '[writes]\nenabled = true\n[[writes.allow]]\nmethods = ["{0}"]\n'
    callable_ = Limits(
        writes=WriteLimits(enabled=True, allow=(WriteRule(methods=("plc/Start*",)),))
    )
    assert refused(tmp_path, PLC + method.format("plc/Start1"), callable_) == []
    assert refused(tmp_path, PLC + method.format("plc/Start*"), callable_) == []
    assert refused(tmp_path, PLC + method.format("plc/St*"), callable_) == ["writes.allow[0]"]
    assert refused(tmp_path, PLC + method.format("plc/Stop"), callable_) == ["writes.allow[0]"]
