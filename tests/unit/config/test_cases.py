"""Golden folders: each wrong configuration ends `forebay check` with status 2 and exact lines.

A folder of tests/cases/config holds a configuration and, in expected.txt, what is printed for it;
one of tests/cases/config-ok holds what the agent would get. FOREBAY_GOLDEN=write writes what is
missing or has changed; then read it before you commit it.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from typer.testing import CliRunner

from forebay import registry
from forebay.cli.main import build
from forebay.config.fields import format_duration
from forebay.config.load import load
from forebay.config.sources import MAX_TOML_BYTES
from forebay.config.taglist import MAX_CSV_BYTES
from support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec

    from forebay.config.devices import Device
    from forebay.config.plugins import LoadedPlugin
    from forebay.writing.settings import WritesSettings

CASES = Path(__file__).resolve().parents[2] / "cases"
BROKEN = sorted(CASES.glob("config/*"))
GOOD = sorted(CASES.glob("config-ok/*"))


def _hide_asyncua(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the environment one in which `forebay[opcua]` was not installed."""

    def find(name: str) -> ModuleSpec | None:
        return None if name == "asyncua" else find_spec(name)

    patch.setattr(registry, "find_spec", find)


def _write(name: str, data: bytes) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(folder: Path, patch: pytest.MonkeyPatch) -> None:
        (folder / name).write_bytes(data)

    return write


def _make_fifo(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "forebay.toml").unlink()
    os.mkfifo(folder / "forebay.toml")


def _open_to_all(name: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def chmod(folder: Path, patch: pytest.MonkeyPatch) -> None:
        (folder / name).chmod(0o644)

    return chmod


def _certificates(
    change: Callable[[Authority, Path], object] = lambda authority, tls: None,
) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """Issue what mutual TLS needs, and then spoil it."""

    def issue(folder: Path, patch: pytest.MonkeyPatch) -> None:
        tls = folder / "tls"
        authority = Authority(tls)
        pair = authority.issue(GATEWAY)
        pair.cert.rename(tls / "gateway.pem")
        pair.key.rename(tls / "gateway.key")
        change(authority, tls)
        for key in tls.glob("*"):
            key.chmod(0o600)

    return issue


def _reissued(years: tuple[int, int]) -> Callable[[Authority, Path], object]:
    def issue(authority: Authority, tls: Path) -> None:
        begins, ends = (datetime(year, 1, 1, tzinfo=UTC) for year in years)
        pair = authority.issue_from(GATEWAY, begins, ends)
        pair.cert.rename(tls / "gateway.pem")
        pair.key.rename(tls / "gateway.key")

    return issue


def _another_name(authority: Authority, tls: Path) -> None:
    pair = authority.issue("press-hall-2")
    pair.cert.rename(tls / "gateway.pem")
    pair.key.rename(tls / "gateway.key")


def _swapped(authority: Authority, tls: Path) -> None:
    (tls / "gateway.pem").rename(tls / "other")
    (tls / "gateway.key").rename(tls / "gateway.pem")
    (tls / "other").rename(tls / "gateway.key")


def _locked(authority: Authority, tls: Path) -> None:
    key = load_pem_private_key((tls / "gateway.key").read_bytes(), None)
    locked = BestAvailableEncryption(b"secret")
    (tls / "gateway.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


def _rubbish(authority: Authority, tls: Path) -> None:
    for name in ("ca.pem", "gateway.pem", "gateway.key"):
        (tls / name).write_text("-----BEGIN RUBBISH-----\n", encoding="ascii")


GATEWAY = "press-hall-1"
CSV = b"name,address,type,description\npressure,holding:0,int16,"
# What git, or this machine's user, cannot keep: made just before the case runs.
PREPARE = MappingProxyType(
    {
        "ca-is-key": _certificates(
            lambda _, tls: (tls / "ca.pem").write_bytes((tls / "gateway.key").read_bytes())
        ),
        "certificate-expired": _certificates(_reissued((2001, 2002))),
        "certificate-is-key": _certificates(_swapped),
        "certificate-not-yet-valid": _certificates(_reissued((2901, 2902))),
        "certificate-of-another-gateway": _certificates(_another_name),
        "certificates-rubbish": _certificates(_rubbish),
        "extra-missing": _hide_asyncua,
        "key-locked": _certificates(_locked),
        "key-of-another": _certificates(
            lambda authority, tls: authority.issue("x").key.rename(tls / "gateway.key")
        ),
        "key-open-to-all": _open_to_all("tls/gateway.key"),
        "opcua-password-file": _open_to_all("mill.password"),
        "tags-not-utf8": _write("press.csv", CSV + "Öldruck\n".encode("latin-1")),
        "tags-oversize": _write("press.csv", b"#" * (MAX_CSV_BYTES + 1)),
        "toml-is-fifo": _make_fifo,
        "toml-not-utf8": _write("forebay.toml", b"[gateway]\n# Halle f\xfcnf\n"),
        "toml-oversize": _write("forebay.toml", b"#" * (MAX_TOML_BYTES + 1)),
        "uplink-tls": _certificates(),
    }
)


@pytest.fixture
def folder(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the case in which no private file is open to everybody."""
    for name in ("FOREBAY_CONFIG", "FOREBAY_STATE", "FOREBAY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    copy = tmp_path / case.name
    shutil.copytree(case, copy)
    for path in copy.rglob("*.key"):
        path.chmod(0o600)
    monkeypatch.chdir(copy)
    if case.name in PREPARE:
        PREPARE[case.name](copy, monkeypatch)
    return copy


def _golden(case: Path, found: str) -> None:
    file = case / "expected.txt"
    if os.environ.get("FOREBAY_GOLDEN") == "write":
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_wrong_configuration_is_refused(case: Path, folder: Path) -> None:
    result = CliRunner().invoke(build(["check"]), ["check", "forebay.toml"])
    assert result.exit_code == 2, result.output
    _golden(case, result.stdout)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_right_configuration_is_understood(case: Path, folder: Path) -> None:
    path = folder / "forebay.toml"
    result = CliRunner().invoke(build(["check"]), ["check", str(path)])
    assert result.exit_code == 0, result.output
    loaded = load(path, registry.Registry(), {})
    lines = [line for device in loaded.devices for line in _device(device)]
    lines += [f"uplink {up.name}: {up.settings.kind}" for up in loaded.uplinks]
    lines += _writes(loaded.config.writes)
    lines += [line for plugin in loaded.plugins for line in _plugin(plugin)]
    _golden(case, "".join(f"{line}\n" for line in lines))


def _writes(writes: WritesSettings) -> Iterator[str]:
    """Write what became of the rules, if there are any."""
    if writes.allow:
        yield f"writes: {writes.enabled}, within {format_duration(writes.deadline)}"
    for rule in writes.allow:
        limits = f"{rule.min} to {rule.max}, of {list(rule.values)}, {tuple(rule.frequency)}"
        yield f"  {[*rule.tags, *rule.methods]}: {limits}"


def _plugin(plugin: LoadedPlugin) -> Iterator[str]:
    """Write what a plugin became."""
    made = plugin.instance
    state = "" if plugin.settings.enabled else ", not enabled"
    yield f"plugin {plugin.name}: {made.version if made else 'nothing'}{state}"
    if made is not None:
        yield from (f"  {role}: {', '.join(one.tags)}" for role, one in made.inputs.items())
        window = made.window.model_dump(exclude_unset=True)
        yield f"  {window}, {made.start}, {format_duration(made.limits.deadline)}"
        yield from (f"  {out.name}: {out.kind} {out.type} {out.target}" for out in made.outputs)
        yield f"  {dict(made.settings)}"


def _device(device: Device) -> Iterator[str]:
    """Write what a device became."""
    settings = device.spec.settings
    state = "" if settings.enabled else ", not enabled"
    yield f"{device.spec.name}: {settings.protocol}{state}"
    for schema in device.spec.schemas:
        group = settings.groups[schema.group]
        yield f"  {schema.group}: {group.mode} {format_duration(group.period)}"
        for tag in schema.tags:
            value = f"x {tag.scale:g} + {tag.offset:g} {tag.unit}".rstrip()
            yield f"    {tag.name} | {tag.address} | {tag.type} | {value}"
    yield from (f"  stage {stage.spec.kind}" for stage in device.stages)


def test_every_folder_is_a_case() -> None:
    """A glob that found nothing would make every test above pass."""
    assert len(BROKEN) >= 60
    assert len(GOOD) >= 8
    assert {case.name for case in (*BROKEN, *GOOD)} >= PREPARE.keys()
