"""The plugin: pieces of files in, a verdict with boxes for each picture out.

Owns what is given, and when. Must not know how a picture is judged (`looking`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from forebay_plugin import Plugin, PluginError, Result
from forebay_plugin.models import ModelError, Trust
from forebay_vision import pictures
from forebay_vision.files import Piece, Shelf, Unusable
from forebay_vision.looking import Eye

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forebay_plugin import Setup, Window
    from forebay_vision.looking import Seen

UNSURE = "unsure"
_SEVERITY = 500


class Vision(Plugin):
    """Looks at every picture that comes whole."""

    def setup(self, setup: Setup) -> Mapping[str, str]:
        """Load the models, and check that the inputs are one folder's columns."""
        self._settings: Mapping[str, Any] = setup.settings
        if setup.model_directory is None or setup.state_directory is None:
            raise PluginError("it needs a directory of models and one for its state")
        try:
            self._eye = Eye(setup.model_directory, Trust.of(setup.settings))
        except ModelError as error:
            raise PluginError(str(error)) from error
        self._shelf = Shelf(setup.state_directory, int(self._settings["max_bytes"]))
        self._columns = {
            tag.rpartition("/")[2]: tag
            for role in ("data", "names", "places")
            for tag in setup.tags(role)
        }
        missing = set(Piece._fields) - self._columns.keys()
        devices = {tag.rpartition("/")[0] for tag in self._columns.values()}
        if missing or len(devices) != 1:
            raise PluginError(
                f"the inputs are no columns of one folder: {sorted(self._columns.values())}; "
                "write inputs.data = ['DEVICE/data'] and so on"
            )
        return {**self._eye.kind.facts(), "kinds": ", ".join(self._eye.kinds)}

    def process(self, window: Window) -> Iterator[Result]:
        """Take the pieces of a window, and judge the pictures that are whole with them."""
        series = {name: window.series[tag] for name, tag in self._columns.items()}
        for row in range(len(series["data"])):
            if not all(one.good[row] for one in series.values()):
                continue
            values = {name: one.values[row] for name, one in series.items()}
            piece = Piece(
                file=str(values["file"]),
                id=str(values["id"]),
                sha256=str(values["sha256"]),
                offset=int(values["offset"]),
                total=int(values["total"]),
                data=bytes(values["data"]),
            )
            try:
                content = self._shelf.put(piece)
                if content is not None:
                    yield from self._judge(piece.file, content)
            except Unusable as error:
                raise PluginError(str(error)) from error

    def _judge(self, name: str, content: bytes) -> Iterator[Result]:
        image = pictures.opened(content, int(self._settings["max_pixels"]))
        seen = self._eye.look(pictures.grey(image), image.size, float(self._settings["box"]))
        sure = seen.confidence >= float(self._settings["least"])
        verdict = seen.kind if sure else UNSURE
        yield Result("verdict", verdict)
        yield Result("confidence", seen.confidence)
        yield Result("defects", len(seen.boxes))
        yield Result("boxes", _told(seen))
        side = int(self._settings["thumbnail"])
        if side > 0:
            yield Result(
                "thumbnail", pictures.thumbnail(image, [box[:4] for box in seen.boxes], side)
            )
        if sure and self._settings["findings"]:
            message = f"{name}: {verdict}, {len(seen.boxes)} places, {seen.confidence:.0%} sure"
            yield Result("finding", json.dumps({"message": message, "severity": _SEVERITY}))


def _told(seen: Seen) -> str:
    """Give the boxes as JSON, in whole pixels."""
    return json.dumps(
        [
            {
                "kind": seen.kind,
                "left": round(box.left),
                "top": round(box.top),
                "right": round(box.right),
                "bottom": round(box.bottom),
                "confidence": round(box.confidence, 3),
            }
            for box in seen.boxes
        ]
    )
