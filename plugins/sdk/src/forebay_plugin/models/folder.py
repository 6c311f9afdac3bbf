"""A model's folder on disk: read whole, with caps, and held against its manifest.

Owns what is read and when. Nothing of a file is parsed before its size and SHA-256 are those of
the manifest, and nothing of the manifest's files is read before somebody vouches for it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forebay_plugin.models.errors import ModelAltered, ModelMalformed
from forebay_plugin.models.manifest import FILE_BYTES_MAX, MANIFEST_BYTES_MAX, ModelManifest, parse
from forebay_plugin.models.trust import SIGNATURE_BYTES_MAX, SIGNATURE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from forebay_plugin.models.trust import Trust

MANIFEST_FILE = "model.toml"
ARRAYS_MAX = 256

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Folder:
    """The checked bytes of a model.

    Attributes:
        manifest: as parsed.
        sha256: of `model.toml`: names the model beyond doubt.
        trust: why it is taken, for people.
        files: name -> bytes, as the manifest says.
    """

    manifest: ModelManifest
    sha256: str
    trust: str
    files: Mapping[str, bytes]

    def arrays(self, name: str) -> Arrays:
        """Read the arrays of an `.npz` of this folder; none if `name` is empty.

        Raises:
            ModelMalformed: it is no `.npz`, or holds objects or too many arrays.
        """
        if not name:
            return {}
        packed = io.BytesIO(self.files[name])
        try:
            with zipfile.ZipFile(packed) as archive:
                members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if len(members) > ARRAYS_MAX or unpacked > FILE_BYTES_MAX:
                raise ModelMalformed(f"{name} holds {len(members)} arrays of {unpacked} bytes")
            with np.load(packed, allow_pickle=False) as held:
                return {key: held[key] for key in held.files}
        except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError) as error:
            raise ModelMalformed(f"{name}: {error}") from error


def read(directory: Path, trust: Trust) -> Folder:
    """Read the model in `directory`.

    Raises:
        ModelMalformed: a file is missing, too large or unreadable.
        ModelAltered: a file is not the manifest's.
        ModelUntrusted: nobody vouches for it.
    """
    text = _read(directory / MANIFEST_FILE, MANIFEST_BYTES_MAX)
    signed = directory / SIGNATURE_FILE
    signature = _read(signed, SIGNATURE_BYTES_MAX) if signed.exists() else None
    why = trust.judge(text, signature)
    manifest = parse(text)
    files = {}
    for name, entry in manifest.files.items():
        content = _read(directory / name, entry.size_bytes)
        if len(content) != entry.size_bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ModelAltered(f"{name} is not the file that {MANIFEST_FILE} names")
        files[name] = content
    return Folder(manifest, hashlib.sha256(text).hexdigest(), why, files)


def _read(path: Path, most: int) -> bytes:
    """Read at most `most` bytes and one more, so that a longer file is seen as such."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ModelMalformed(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise ModelMalformed(f"{path.name} is over {most} bytes")
    return content
