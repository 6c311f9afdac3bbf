"""Writes a model's folder: what a training command ends with. The same model gives the same bytes.

Owns the text of `model.toml` and the array files. The outputs of the self-test are computed here,
by the runtime that will serve the model.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.models import drift
from forebay_plugin.models.folder import MANIFEST_FILE
from forebay_plugin.models.graph import opsets
from forebay_plugin.models.runtime import TENSOR, load, open_session
from forebay_plugin.models.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Arrays = dict[str, npt.NDArray[Any]]
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member of an array file: the oldest that a zip holds."""


@dataclass(frozen=True)
class Draft:
    """What a training command knows of its model.

    Attributes:
        name: of the model.
        version: of this training.
        description: one line.
        onnx: the file's bytes.
        selftest: input -> a few rows of real data, for the self-test.
        inputs: input -> keys of its table beside shape and type, such as `names` and `ranges`.
        thresholds: output -> limit of a finding.
        constants: input -> array that comes from the folder.
        drift: input -> (rows, columns) training data, for the histograms.
        training: command, data_sha256 and what else should be known.
        rtol: of the self-test.
        atol: of the self-test.
    """

    name: str
    version: str
    description: str
    onnx: bytes
    selftest: Mapping[str, npt.NDArray[Any]]
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    drift: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    training: Mapping[str, str | int | float | list[str]] = field(default_factory=dict)
    rtol: float = 1e-4
    atol: float = 1e-5


def write_model(directory: Path, draft: Draft) -> str:
    """Write the folder, load it once to see that it serves, and give the SHA-256 of its manifest.

    Raises:
        ModelError: the model does not load, or the runtime gives other figures the second time.
    """
    session = open_session(draft.onnx)
    names = [port.name for port in session.get_outputs()]
    feed = {
        port.name: np.ascontiguousarray(
            draft.selftest.get(port.name, draft.constants.get(port.name)), dtype=_word(port.type)
        )
        for port in session.get_inputs()
    }
    given = {name: values for name, values in feed.items() if name not in draft.constants}
    computed = dict(zip(names, session.run(names, feed), strict=True))
    files = {
        "model.onnx": draft.onnx,
        "selftest.npz": pack(
            {f"in/{name}": values for name, values in given.items()}
            | {f"out/{name}": values for name, values in computed.items()}
        ),
    }
    if draft.constants:
        files["constants.npz"] = pack(dict(draft.constants))
    if draft.drift:
        held: Arrays = {}
        for name, values in draft.drift.items():
            held[f"edges/{name}"], held[f"shares/{name}"] = drift.reference(values)
        files["drift.npz"] = pack(held)
    text = _manifest(draft, session, files).encode()
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    (directory / MANIFEST_FILE).write_bytes(text)
    sha256 = hashlib.sha256(text).hexdigest()
    load(directory, Trust(pinned=(sha256,)))
    return sha256


def pack(arrays: Arrays) -> bytes:
    """Give an `.npz` without dates: the same arrays give the same bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.asarray(arrays[name], order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    return whole.getvalue()


def data_sha256(*paths: Path) -> str:
    """Give one SHA-256 over the contents of files, in the order of their names."""
    whole = hashlib.sha256()
    for path in sorted(paths, key=lambda one: one.name):
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _manifest(draft: Draft, session: Any, files: Mapping[str, bytes]) -> str:  # noqa: ANN401 - onnxruntime has no types
    head = {
        "name": draft.name,
        "version": draft.version,
        "description": draft.description,
        "file": "model.onnx",
    }
    sections: list[tuple[str, Mapping[str, Any]]] = [("model", head)]
    sections.append(("model.opsets", opsets(draft.onnx)))
    for name, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        sections.append((f"files.{json.dumps(name)}", {"sha256": sha256, "bytes": len(content)}))
    for port in session.get_inputs():
        table = _port(port) | dict(draft.inputs.get(port.name, {}))
        if port.name in draft.constants:
            table["constant"] = True
        sections.append((f"inputs.{json.dumps(port.name)}", table))
    sections += [
        (f"outputs.{json.dumps(port.name)}", _port(port)) for port in session.get_outputs()
    ]
    if draft.thresholds:
        sections.append(("thresholds", draft.thresholds))
    selftest = {"file": "selftest.npz", "rtol": draft.rtol, "atol": draft.atol}
    sections.append(("selftest", selftest))
    sections += [
        (section, {"file": f"{section}.npz"})
        for section in ("constants", "drift")
        if f"{section}.npz" in files
    ]
    sections.append(("training", draft.training))
    return "\n".join(
        f"[{title}]\n"
        + "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in table.items())
        for title, table in sections
    )


def _port(port: Any) -> dict[str, Any]:  # noqa: ANN401 - onnxruntime has no types
    shape = [
        size if isinstance(size, int) else (size or ("batch" if at == 0 else f"free{at}"))
        for at, size in enumerate(port.shape)
    ]
    return {"shape": shape, "type": _word(port.type)}


def _word(tensor: str) -> str:
    word = tensor.removeprefix("tensor(").removesuffix(")")
    return TENSOR.get(word, word)


def _toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """Strings, numbers, booleans and lists of them stand in TOML 1.0 as they do in JSON."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(float(value))
    return json.dumps(value, ensure_ascii=False)
