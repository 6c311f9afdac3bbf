"""The plugin: windows in, a run of the model for as many as it takes at once, figures out.

Owns batching, and the state of models that keep some. The model is governed by the SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay_onnx.tensors import Feed, chosen_layout, is_single, is_whole, takes
from forebay_plugin import BAD, Plugin, PluginError, Result, Table, grouped
from forebay_plugin.models import GovernedModel, Policy, order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from forebay_plugin import Output, Results, Setup, Window
    from forebay_plugin.models import Answer
    from forebay_plugin.models.manifest import Port

ROLE = "values"
OWN = ("drift", "state")
"""Outputs of the plugin itself; all others are figures of the model."""


class _Figures(NamedTuple):
    """What a run gave: output -> (windows) values, and (windows) qualities."""

    columns: dict[str, npt.NDArray[Any]]
    quality: npt.NDArray[np.uint32]


class Onnx(Plugin):
    """Runs any ONNX model with a `model.toml`. See README.md for layouts and settings."""

    def setup(self, setup: Setup) -> Mapping[str, str]:
        """Open the model; settle which tags go where, and which figure comes out as what."""
        settings = setup.settings
        self._model = GovernedModel.open(setup.model_directory, Policy.of(settings))
        manifest = self._model.active.manifest
        self._single = is_single(manifest)
        ports = [port for port in manifest.inputs.values() if port.state]
        self._states = {port.name: _zeros(port) for port in ports}
        self._next = {port.name: port.state for port in ports}
        self._feeds = list(_feeds(manifest.data, setup.tags(ROLE), settings))
        self._outputs: dict[str, Output] = {one.name: one for one in setup.outputs}
        figures = [name for name in self._outputs if name not in OWN]
        self._takes = takes(figures, manifest, settings)
        texts = [name for name in figures if not self._outputs[name].type.is_number]
        if texts:
            raise PluginError(f"the output {texts[0]} must be of a type of numbers")
        self._zeros = {name: self._outputs[name].type.dtype.type(0) for name in figures}
        report = settings.get("report", 100)
        if isinstance(report, bool) or not isinstance(report, int) or report < 1:
            raise PluginError("settings.report must be a whole number from 1 on")
        self._report, self._windows = report, 0
        runs = "one window a run" if self._single else "many windows a run"
        return {"runs": runs, **self._model.facts()}

    def process(self, window: Window) -> Results:
        """Run the model on one window."""
        return self.process_many([window])[0]

    def process_many(self, windows: Sequence[Window]) -> Sequence[Results]:
        """Run it on all windows that have the same number of rows, at once if it can."""
        found = [
            (places, self._figures(self._run(stacked), len(places)))
            for places, stacked in self._grouped(windows)
        ]
        if not found:
            return [[] for _ in windows]
        places = np.concatenate([some for some, _ in found])
        order = np.argsort(places)
        quality = np.concatenate([figures.quality for _, figures in found])[order]
        columns = {
            name: np.concatenate([figures.columns[name] for _, figures in found])[order]
            for name in self._zeros
        }
        places = places[order]
        return Table(
            len(windows), columns, places=places, quality=quality, also=self._reports(places)
        )

    def _grouped(
        self, windows: Sequence[Window]
    ) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]]:
        """What is run at once; a model that takes one window, or keeps state, has them in order."""
        if not self._single:
            yield from grouped(windows, ROLE)
            return
        for place, window in enumerate(windows):
            matrix = window.matrix(ROLE)
            if len(matrix):
                yield np.array([place]), matrix[np.newaxis]

    def _reports(self, places: npt.NDArray[np.intp]) -> dict[int, list[Result]]:
        """What is told beside the figures, once in so many windows."""
        count = np.arange(self._windows + 1, self._windows + 1 + len(places))
        self._windows += len(places)
        due = places[count % self._report == 0].tolist()
        return {place: list(self._about()) for place in due}

    def _run(self, stacked: npt.NDArray[np.float64]) -> Answer:
        inputs: dict[str, npt.NDArray[Any]] = {
            feed.port.name: feed.tensor(stacked) for feed in self._feeds
        }
        answer = self._model.run(inputs | self._states)
        if self._states and answer.by == self._model.active.title:
            self._states = {name: answer.outputs[self._next[name]] for name in self._states}
        return answer

    def _figures(self, answer: Answer, windows: int) -> _Figures:
        """The figures of the windows of a run; all are bad where it could not be computed."""
        quality = answer.quality
        if self._single:
            quality = np.bitwise_or.reduce(quality, keepdims=True)
        bad = (quality & np.uint32(BAD)) != 0
        if bad.all():
            none = {name: np.full(windows, zero) for name, zero in self._zeros.items()}
            return _Figures(none, np.full(windows, BAD, np.uint32))
        columns = {
            name: np.where(bad, self._zeros[name], take.of(answer.outputs[take.name], windows))
            for name, take in self._takes.items()
        }
        return _Figures(columns, np.where(bad, np.uint32(BAD), quality))

    def _about(self) -> Iterator[Result]:
        indices = [value for value in self._model.psi().values() if np.isfinite(value)]
        if indices and "drift" in self._outputs:
            yield Result("drift", max(indices))
        if "state" in self._outputs:
            yield Result("state", self._model.state())


def _feeds(
    ports: Sequence[Port], tags: Sequence[str], settings: Mapping[str, Any]
) -> Iterator[Feed]:
    """Settle which tags fill which input: `tags` of the settings, or all for a model of one."""
    said = settings.get("tags", {})
    if not isinstance(said, dict):
        raise PluginError('settings.tags must be a table of INPUT = ["DEVICE/TAG", ...]')
    for port in ports:
        if len(ports) > 1 and port.name not in said:
            raise PluginError(f"the model has several inputs: set tags.{port.name}")
        chosen = {"columns": said.get(port.name, settings.get("columns", []))}
        layout = chosen_layout(port, settings)
        asked = port if layout in {"last", "rows"} else None
        yield Feed(port, _columns(asked, port, tags, chosen), layout, is_whole(port))


def _columns(
    asked: Port | None, port: Port, tags: Sequence[str], chosen: Mapping[str, Any]
) -> list[int]:
    """By name or as told; the number of columns is the model's only where one is one tag."""
    if asked is not None or port.names:
        return order(port, tags, chosen)
    named = chosen["columns"]
    unknown = [tag for tag in named if tag not in tags]
    if unknown:
        raise PluginError(f"settings.columns: {unknown[0]} is no input of this plugin")
    return [list(tags).index(tag) for tag in named] or list(range(len(tags)))


def _zeros(port: Port) -> npt.NDArray[Any]:
    """What a state is before the first window; free dimensions have size 1."""
    sizes = [size if isinstance(size, int) else 1 for size in port.shape]
    return np.zeros(sizes, port.type)
