"""One loaded model: an ONNX Runtime session that does what the manifest says, and has shown it.

Owns the session, the comparison with the manifest, and the self-test. Must not know where data
come from, nor of other models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from forebay_plugin.models.errors import ModelUnfit
from forebay_plugin.models.folder import Arrays, Folder, read
from forebay_plugin.models.graph import opsets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay_plugin.models.manifest import ModelManifest, Port
    from forebay_plugin.models.trust import Trust

TENSOR = {"float": "float32", "double": "float64"}
"""ONNX Runtime's words for types where they are not numpy's."""
FAULTS = (
    faults.EPFail,
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NoSuchFile,
    faults.NotImplemented,
    faults.RuntimeException,
    RuntimeError,
    ValueError,
)
"""What ONNX Runtime raises; its own have no base in common but `Exception`."""


class Model:
    """A model that computes here what it computed where it was made.

    Raises:
        ModelMalformed: an array file cannot be read.
        ModelUnfit: the graph is not the manifest's, or the self-test gives other figures.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.manifest = folder.manifest
        content = folder.files[self.manifest.file]
        found = opsets(content)
        if found != dict(self.manifest.opsets):
            raise ModelUnfit(f"opsets are {found}, model.toml says {dict(self.manifest.opsets)}")
        self._session = open_session(content)
        _compare("input", self._session.get_inputs(), self.manifest.inputs)
        _compare("output", self._session.get_outputs(), self.manifest.outputs)
        self._outputs = list(self.manifest.outputs)
        self.constants = folder.arrays(self.manifest.constants_file)
        self._self_test()

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.manifest.name} {self.manifest.version}"

    def facts(self) -> dict[str, str]:
        """What `forebay plugins show` tells of it."""
        return {
            "model": self.title,
            "sha256": self.folder.sha256[:16],
            "trust": self.folder.trust,
        }

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Compute all outputs; constants of the folder are added, unless `inputs` has its own.

        Raises:
            ModelUnfit: shapes or types are not the manifest's, or the runtime refuses.
        """
        feed = {}
        for name, port in self.manifest.inputs.items():
            given = inputs.get(name) if name in inputs else self.constants.get(name)
            if given is None:
                raise ModelUnfit(f"there is no value for the input {name}")
            feed[name] = np.ascontiguousarray(given, dtype=port.type)
        try:
            computed = self._session.run(self._outputs, feed)
        except FAULTS as error:
            raise ModelUnfit(f"{self.title}: {error}") from error
        return dict(zip(self._outputs, map(np.asarray, computed), strict=True))

    def _self_test(self) -> None:
        arrays = self.folder.arrays(self.manifest.selftest_file)
        given = {key[3:]: value for key, value in arrays.items() if key.startswith("in/")}
        wanted = {key[4:]: value for key, value in arrays.items() if key.startswith("out/")}
        if not given or set(wanted) != set(self.manifest.outputs):
            raise ModelUnfit("the self-test has no inputs, or not one output for each")
        computed = self.run(given)
        for name, reference in wanted.items():
            got = computed[name]
            if got.shape != reference.shape:
                raise ModelUnfit(f"self-test: {name} has shape {got.shape}, not {reference.shape}")
            close = np.isclose(
                got, reference, rtol=self.manifest.rtol, atol=self.manifest.atol, equal_nan=True
            )
            if not close.all():
                raise ModelUnfit(
                    f"self-test: {(~close).sum()} of {close.size} values of {name} differ"
                )


def load(directory: Path, trust: Trust) -> Model:
    """Read, check and try the model in `directory`.

    Raises:
        ModelError: as its subclasses say.
    """
    return Model(read(directory, trust))


def open_session(content: bytes) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Load an ONNX file: one thread, CPU.

    Raises:
        ModelUnfit: ONNX Runtime refuses it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a gateway's cores are for its polls
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors: they come as exceptions, with their text
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except FAULTS as error:
        raise ModelUnfit(f"ONNX Runtime refuses the model: {error}") from error


def _compare(what: str, found: list[Any], said: Mapping[str, Port]) -> None:
    names = [one.name for one in found]
    if sorted(names) != sorted(said):
        raise ModelUnfit(f"{what}s are {names}, model.toml says {list(said)}")
    for one in found:
        port = said[one.name]
        word = one.type.removeprefix("tensor(").removesuffix(")")
        if TENSOR.get(word, word) != port.type:
            raise ModelUnfit(f"{what} {one.name} is {one.type}, model.toml says {port.type}")
        shape = tuple(one.shape)
        fits = len(shape) == len(port.shape) and all(
            not isinstance(graph, int) or graph == size
            for graph, size in zip(shape, port.shape, strict=True)
        )
        if not fits:
            raise ModelUnfit(f"{what} {one.name} has shape {shape}, model.toml says {port.shape}")


def interchangeable(one: ModelManifest, other: ModelManifest) -> bool:
    """Whether the two take and give the same, so that one may stand in for the other."""
    return one.interface() == other.interface()
