"""What can be wrong with a model, each with the next step for a person.

ModelError
├── ModelMalformed   a file is missing, too large, or does not say what it must
├── ModelAltered     a file is not the one that the manifest names
├── ModelUntrusted   nobody whom the settings trust has signed it
└── ModelUnfit       it does not compute here what its manifest says
"""

from __future__ import annotations

from forebay_plugin.plugin import PluginError


class ModelError(PluginError):
    """A model cannot be used; `hint` is the next step."""

    hint = "see `python -m forebay_plugin.models verify DIR`"

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint or self.hint
        super().__init__(f"{message} ({self.hint})")


class ModelMalformed(ModelError):
    """A file of the folder is missing, too large, or does not say what it must."""

    hint = "write the folder again with the model's training command"


class ModelAltered(ModelError):
    """A file is not the one that the manifest names: other size or SHA-256."""

    hint = "copy the folder again, whole"


class ModelUntrusted(ModelError):
    """The manifest bears no signature of a key that the settings trust, and is not pinned."""

    hint = (
        "sign it with `python -m forebay_plugin.models sign DIR --key FILE`, "
        "or set allow_unsigned = true"
    )


class ModelUnfit(ModelError):
    """What ONNX Runtime loads differs from the manifest, or gives other results than it did."""

    hint = "the model was made for another runtime or input: train and export it again"
