"""The plugin: windows of tags in, a score, an alarm with hysteresis, and what stands out.

Owns the outputs and the alarm. The score itself is the model's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_anomaly.learning import Learning
from forebay_anomaly.normal import Recipe
from forebay_plugin import BAD, Plugin, PluginError, Result
from forebay_plugin.models import GovernedModel, Policy, order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from forebay_anomaly.normal import Numbers
    from forebay_plugin import Results, Setup, Window

ROLE = "values"
LEARN_MAX = 100_000
NAMED = 3
"""So many tags of a finding are named."""


@dataclass(frozen=True)
class Judged:
    """Of some windows: (windows) score and quality, (windows, tags) share of each tag or None."""

    score: Numbers
    quality: npt.NDArray[np.uint32]
    shares: Numbers | None


class Anomaly(Plugin):
    """Scores windows; 1 is the limit. See README.md for settings and figures."""

    def setup(self, setup: Setup) -> Mapping[str, str]:
        """Open the model; take up what is normal, or begin to learn it."""
        settings = setup.settings
        self._model = GovernedModel.open(setup.model_directory, Policy.of(settings))
        manifest = self._model.active.manifest
        port = manifest.inputs.get("x")
        if port is None or "score" not in manifest.outputs:
            raise PluginError("the model must take `x` and give `score`")
        tags = setup.tags(ROLE)
        self._columns = order(port, tags, settings)
        self._tags = [tags[index] for index in self._columns]
        self._rank = len(port.shape)
        self._off = _number(settings, "off", 0.0, 1.0)
        self._report = int(_number(settings, "report", 1, 1_000_000))
        wanted = int(_number(settings, "learn", 0, LEARN_MAX))
        self._learning: Learning | None = None
        if wanted:
            self._learning = Learning(setup.state_directory, self._tags, wanted, self._recipe())
            self._rebase()
        self._alarm, self._windows = False, 0
        ready = self._learning is None or self._learning.done
        state = "scoring" if ready else f"learning what is normal from {wanted} rows"
        return {"state": state, "tags": str(len(self._tags)), **self._model.facts()}

    def process(self, window: Window) -> Results:
        """Score one window."""
        return self.process_many([window])[0]

    def process_many(self, windows: Sequence[Window]) -> Sequence[Results]:
        """Score windows with as few runs of the model as they have different numbers of rows."""
        matrices = [window.matrix(ROLE)[:, self._columns] for window in windows]
        results: list[list[Result]] = [[] for _ in windows]
        first = self._learn(windows, matrices)
        groups = defaultdict(list)
        for index in range(first, len(windows)):
            groups[len(matrices[index])].append(index)
        judged: dict[int, tuple[float, int, Numbers | None]] = {}
        for rows, indices in groups.items():
            if rows:
                one = self._judge(np.stack([matrices[index] for index in indices]))
                for at, index in enumerate(indices):
                    shares = None if one.shares is None else one.shares[at]
                    judged[index] = (float(one.score[at]), int(one.quality[at]), shares)
        for index in sorted(judged):
            results[index] = self._tell(*judged[index])
        return results

    def _learn(self, windows: Sequence[Window], matrices: Sequence[Numbers]) -> int:
        """Learn from windows until what is normal is known; how many were needed for that."""
        learning = self._learning
        if learning is None or learning.done:
            return 0
        for index, (window, matrix) in enumerate(zip(windows, matrices, strict=True)):
            if learning.add(window, matrix):
                self._rebase()
                return index + 1
        return len(windows)

    def _rebase(self) -> None:
        learning = self._learning
        if learning is not None and learning.done:
            self._model.rebase("x", learning.edges, learning.shares, self._tags)

    def _judge(self, stacked: Numbers) -> Judged:
        """(windows, rows, tags) -> scores; a model of rank 2 looks at the last row of each."""
        inputs: dict[str, npt.NDArray[Any]] = {"x": stacked if self._rank == 3 else stacked[:, -1]}
        if self._learning is not None and self._learning.normal is not None:
            normal = self._learning.normal
            inputs |= {"centre": normal.centre, "precision": normal.precision}
        answer = self._model.run(inputs)
        score = np.asarray(answer.outputs["score"], np.float64).reshape(len(stacked))
        shares = answer.outputs.get("shares")
        return Judged(np.maximum(score, 0.0), answer.quality, shares)

    def _tell(self, score: float, quality: int, shares: Numbers | None) -> list[Result]:
        self._windows += 1
        if quality & BAD or not np.isfinite(score):
            told = [Result(name, value, quality=BAD) for name, value in BLANK]
        else:
            before, limit = self._alarm, self._off if self._alarm else 1.0
            self._alarm = score >= limit
            told = [
                Result("score", score, quality=quality),
                Result("alarm", self._alarm, quality=quality),
            ]
            if self._alarm != before:
                told.append(Result("finding", self._finding(score, shares)))
        if self._windows % self._report == 0:
            indices = [value for value in self._model.psi().values() if np.isfinite(value)]
            if indices:
                told.append(Result("drift", max(indices)))
            told.append(Result("state", self._model.state()))
        return told

    def _finding(self, score: float, shares: Numbers | None) -> str:
        """An event of the gateway as JSON: begins, with the tags that make most of it, or ends."""
        parts = ""
        if self._alarm and shares is not None:
            most = np.argsort(shares)[::-1][:NAMED]
            whole = float(np.maximum(shares, 0).sum()) or 1.0
            parts = ": " + ", ".join(
                f"{self._tags[index]} {shares[index] / whole:.0%}"
                for index in most
                if shares[index] > 0
            )
        word = "begins" if self._alarm else "ends"
        event = {
            "message": f"anomaly {word}, score {score:.3g}{parts}",
            "severity": 600 if self._alarm else 100,
            "condition": "anomaly",
            "active": self._alarm,
        }
        return json.dumps(event)

    def _recipe(self) -> Recipe:
        held = self._model.active.constants
        if not {"centre", "precision", "learn_shrink", "learn_factor"} <= set(held):
            raise PluginError("this model cannot learn on the machine: set `learn = 0`")
        return Recipe(float(held["learn_shrink"]), float(held["learn_factor"]))


BLANK = (("score", 0.0), ("alarm", False))
"""What stands where there is no value: it is not sent, the quality is."""


def _number(settings: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise PluginError(f"settings.{key} must be a number from {least:g} to {most:g}")
    return float(value)
