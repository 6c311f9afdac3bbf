"""A model is used if it is whole, vouched for, and computes what it did; else it says why not."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from forebay_plugin import PluginError
from forebay_plugin.models import (
    ModelAltered,
    ModelError,
    ModelMalformed,
    ModelUnfit,
    ModelUntrusted,
    Trust,
    load,
)
from forebay_plugin.models.__main__ import main
from forebay_plugin.models.graph import opsets
from forebay_plugin.models.manifest import MANIFEST_BYTES_MAX, parse
from forebay_plugin.models.trust import public_key, sign
from support.onnx_models import made, scaled_max

if TYPE_CHECKING:
    from pathlib import Path

ANY = Trust(allow_unsigned=True)


def private_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def change(directory: Path, old: str, new: str) -> None:
    """Change model.toml in place, as an editor would."""
    path = directory / "model.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def replace(directory: Path, name: str, content: bytes) -> None:
    """Put another file in place of one, and its size and hash into the manifest."""
    entry = parse((directory / "model.toml").read_bytes()).files[name]
    change(directory, entry.sha256, hashlib.sha256(content).hexdigest())
    change(directory, f'"bytes" = {entry.size_bytes}', f'"bytes" = {len(content)}')
    (directory / name).write_bytes(content)


def test_what_training_wrote_serves_and_is_the_same_each_time(tmp_path: Path) -> None:
    pin = made(tmp_path / "one")
    assert made(tmp_path / "two") == pin
    model = load(tmp_path / "one", Trust(pinned=(pin,)))
    rows = np.array([[1, -3, 2], [0, 0, 0.5]], np.float32)
    np.testing.assert_allclose(model.run({"x": rows})["score"], [3, 0.5])
    assert model.facts()["trust"] == "pinned by the plugin's settings"
    for name in ("model.onnx", "selftest.npz", "drift.npz", "model.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nobody_vouches_for_it(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(ModelUntrusted, match="not signed"):
        load(tmp_path, Trust())
    assert "UNSIGNED" in load(tmp_path, ANY).facts()["trust"]


def test_a_signature_counts_for_its_key_and_its_bytes_only(tmp_path: Path) -> None:
    made(tmp_path)
    ours, theirs = private_key(), private_key()
    manifest = (tmp_path / "model.toml").read_bytes()
    (tmp_path / "model.sig").write_bytes(sign(manifest, ours))
    trusted = Trust(keys=(public_key(ours),))
    assert load(tmp_path, trusted).facts()["trust"].startswith("signed by ")
    with pytest.raises(ModelUntrusted, match="none of the 1 trusted keys"):
        load(tmp_path, Trust(keys=(public_key(theirs),)))
    (tmp_path / "model.sig").write_bytes(
        sign(manifest, theirs) + b"rubbish\n" + sign(manifest, ours)
    )
    load(tmp_path, trusted)
    change(tmp_path, "Largest", "largest")
    with pytest.raises(ModelUntrusted):
        load(tmp_path, trusted)
    with pytest.raises(ModelUntrusted):  # the key signs for this purpose only
        Trust(keys=(public_key(ours),)).judge(b"", sign(b"x", ours))


def test_keys_and_signatures_that_are_none(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(ModelUntrusted, match="no private key"):
        sign(b"", b"no key")
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ModelUntrusted, match="not an Ed25519 key"):
        sign(b"", pem)
    trusted = Trust(keys=(public_key(private_key()),))
    for rubbish in (b"", b"\xff\xfe", b"AAAA\n" * 20):
        (tmp_path / "model.sig").write_bytes(rubbish)
        with pytest.raises(ModelUntrusted):
            load(tmp_path, trusted)
    (tmp_path / "model.sig").write_bytes(b"A" * 5000)
    with pytest.raises(ModelMalformed, match="over"):
        load(tmp_path, trusted)


def test_a_pin_is_for_one_manifest(tmp_path: Path) -> None:
    pin = made(tmp_path)
    change(tmp_path, "Largest", "largest")
    with pytest.raises(ModelUntrusted):
        load(tmp_path, Trust(pinned=(pin,)))


@pytest.mark.parametrize(
    "settings",
    [{"allow_unsigned": "yes"}, {"trusted_keys": "x"}, {"trusted_keys": ["AAAA"]}],
)
def test_settings_of_trust_that_are_none(settings: dict[str, object]) -> None:
    with pytest.raises(PluginError, match=r"settings\."):
        Trust.of(settings)


@pytest.mark.parametrize("name", ["model.onnx", "selftest.npz", "drift.npz"])
def test_one_flipped_bit_is_seen(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelAltered, match=name):
        load(tmp_path, ANY)


def test_a_longer_shorter_or_missing_file_is_seen(tmp_path: Path) -> None:
    made(tmp_path)
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[:-1])
    with pytest.raises(ModelAltered):
        load(tmp_path, ANY)
    (tmp_path / "model.onnx").write_bytes(whole + b"\0")
    with pytest.raises(ModelMalformed, match="over"):
        load(tmp_path, ANY)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ModelMalformed, match="cannot be read"):
        load(tmp_path, ANY)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"ai.onnx" = 17', '"ai.onnx" = 18', "opsets are"),
        ('"x"]\n', '"x"]\n', "inputs are"),
        ('"type" = "float32"', '"type" = "float64"', "says float64"),
        ('["batch", 3]', '["batch", 4]', "one entry for each column"),
        ('["batch"]', '["batch", 1]', "has shape"),
    ],
)
def test_a_graph_that_is_not_the_manifests(tmp_path: Path, old: str, new: str, says: str) -> None:
    made(tmp_path)
    if says == "inputs are":
        old, new = '[inputs."x"]', '[inputs."y"]'
    change(tmp_path, old, new)
    with pytest.raises(ModelError, match=says):
        load(tmp_path, ANY)


def test_a_model_that_computes_otherwise_fails_its_self_test(tmp_path: Path) -> None:
    made(tmp_path)
    replace(tmp_path, "model.onnx", scaled_max(weight=1.01))
    with pytest.raises(ModelUnfit, match="4 of 4 values of score differ"):
        load(tmp_path, ANY)


def test_files_that_are_none_of_their_kind(tmp_path: Path) -> None:
    made(tmp_path)
    selftest = (tmp_path / "selftest.npz").read_bytes()
    replace(tmp_path, "selftest.npz", b"PK\x03\x04 and nothing")
    with pytest.raises(ModelMalformed, match=r"selftest.npz"):
        load(tmp_path, ANY)
    replace(tmp_path, "selftest.npz", selftest)
    replace(tmp_path, "model.onnx", b"\x08\x07" + b"\x42\x02\x10\x11" * 1)
    with pytest.raises(ModelUnfit, match="ONNX Runtime refuses"):
        load(tmp_path, ANY)
    replace(tmp_path, "model.onnx", b"no model at all")
    with pytest.raises(ModelMalformed, match="ONNX file"):
        load(tmp_path, ANY)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"file" = "model.onnx"', '"file" = "../model.onnx"', "model.file must match"),
        ('[files."drift.npz"]', '[files."../drift.npz"]', "plain name"),
        ('"rtol" = 0.0001', '"rtol" = "much"', "selftest.rtol must be a number"),
        ('"rtol" = 0.0001', '"rtoll" = 0.0001', "rtoll is no key"),
        ('"name" = "scaled-max"', '"name" = 3', "model.name must be a text"),
        ('"score" = 2.0', '"other" = 2.0', "names no output"),
        ('"float32"', '"float31"', "must be one of"),
        ('["batch", 3]', '["batch", 0]', "shape holds 0"),
    ],
)
def test_a_manifest_that_says_nonsense(tmp_path: Path, old: str, new: str, says: str) -> None:
    made(tmp_path)
    change(tmp_path, old, new)
    with pytest.raises(ModelMalformed, match=says):
        load(tmp_path, ANY)


def test_a_manifest_without_end(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "model.toml").write_bytes(b"#" * (MANIFEST_BYTES_MAX + 1))
    with pytest.raises(ModelMalformed, match="over"):
        load(tmp_path, ANY)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_told_as_such(content: bytes) -> None:
    try:
        found = opsets(content)
    except ModelMalformed:
        return
    assert all(isinstance(version, int) for version in found.values())


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, key = tmp_path / "store", tmp_path / "key.pem"
    pem = private_key()
    key.write_bytes(pem)
    for version, weight in (("1", 1.0), ("2", 1.1)):
        made(tmp_path / version, version, weight)
        assert main(["verify", str(tmp_path / version)]) == 1
        assert main(["sign", str(tmp_path / version), "--key", str(key)]) == 0
        trusted = ["--trust", public_key(pem)]
        assert main(["add", str(store), "--from", str(tmp_path / version), *trusted]) == 0
        assert main(["activate", str(store), "--version", version]) == 0
    assert main(["verify", str(store), *trusted]) == 0
    assert (
        "scaled-max 2: hashes, graph and self-test are right; signed by" in capsys.readouterr().out
    )
    assert main(["candidate", str(store), "--version", "1"]) == 0
    assert main(["rollback", str(store)]) == 0
    assert main(["show", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "active: scaled-max 1" in shown
    assert "previous: scaled-max 2" in shown
    assert main(["activate", str(store), "--version", "9"]) == 1
    assert "has no version '9'" in capsys.readouterr().err
