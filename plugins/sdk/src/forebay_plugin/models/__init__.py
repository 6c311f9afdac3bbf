"""Models that are known: ONNX files with a manifest, a signature, a self-test, and a way back.

`GovernedModel.open(setup.model_directory, Policy.of(setup.settings))` in a plugin's `setup`, and
`write_model(directory, Draft(...))` at the end of a training command. Needs the extra `onnx`.
"""

from __future__ import annotations

from forebay_plugin.models.columns import order
from forebay_plugin.models.errors import (
    ModelAltered,
    ModelError,
    ModelMalformed,
    ModelUnfit,
    ModelUntrusted,
)
from forebay_plugin.models.governed import Answer, GovernedModel, Policy
from forebay_plugin.models.runtime import Model, load
from forebay_plugin.models.trust import Trust
from forebay_plugin.models.writing import Draft, data_sha256, write_model

__all__ = [
    "Answer",
    "Draft",
    "GovernedModel",
    "Model",
    "ModelAltered",
    "ModelError",
    "ModelMalformed",
    "ModelUnfit",
    "ModelUntrusted",
    "Policy",
    "Trust",
    "data_sha256",
    "load",
    "order",
    "write_model",
]
