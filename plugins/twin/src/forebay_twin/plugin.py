"""The plugin: rows in; predicted, residual, normalised residual and drift of each row out.

Owns the outputs, and what is kept from window to window. The model is not its concern.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from forebay_plugin import BAD, UNCERTAIN, Plugin, PluginError, Result, held
from forebay_plugin.state import Keeper, Place
from forebay_twin import fitting
from forebay_twin.drift import Sums
from forebay_twin.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from forebay_plugin import Setup, Window
    from forebay_twin.models import Numbers

_log = logging.getLogger(__name__)
NS = 1e9


class Twin(Plugin):
    """A model beside the asset. See README.md for settings and figures."""

    def setup(self, setup: Setup) -> Mapping[str, str]:
        """Check the settings; take up what is known, or begin to learn it."""
        target, inputs = setup.tags("target"), setup.tags("given")
        self._tags = [*target, *inputs]
        self._settings = Settings.of(setup.settings, len(inputs))
        self._state = setup.state_directory
        self._known = self._open(setup)
        self._keeper = Keeper.of(setup)
        self._learnt: list[Numbers] = []  # time_s, target, inputs
        self._have = 0
        ready = self._known is not None
        learn = self._settings.learn
        state = "predicting" if ready else f"learning what is normal from {learn} rows"
        return {"state": state, "target": target[0], "given": ", ".join(inputs)}

    def process(self, window: Window) -> list[Result]:
        """Work on the rows of the target that were in no window before."""
        if self._keeper.place(window) is Place.OLD:
            return []
        (target,) = window.role("target")
        value = self._keeper.value
        fresh = target.times_ns > value.get("seen_ns", 0)
        times = target.times_ns[fresh]
        if not len(times):
            return []
        value["seen_ns"] = int(times.max())
        columns = [held(one, times) for one in window.role("given")]
        rows = np.column_stack([times / NS, target.numbers()[fresh], *columns])
        results = self._tell(self._known, times, rows) if self._known else self._learn(rows)
        self._keeper.save(now=False)
        return results

    def _open(self, setup: Setup) -> fitting.Known | None:
        model, learn = self._settings.model, self._settings.learn
        if not learn:
            if setup.model_directory is None:
                raise PluginError("`learn = 0` wants `model` of this plugin: see train.py")
            return fitting.read(setup.model_directory, self._tags, model)
        try:
            return fitting.read(self._state, self._tags, model)
        except PluginError as none:
            _log.info("what is normal is learnt anew: %s", none)
            return None

    def _learn(self, rows: Numbers) -> list[Result]:
        self._learnt.append(rows)
        self._have += len(rows)
        if self._have < self._settings.learn:
            return []
        whole = np.concatenate(self._learnt)
        self._learnt, self._have = [], 0
        try:
            known = fitting.learn(
                self._settings.model, whole[:, 2:], whole[:, 1], whole[:, 0], self._settings.how
            )
        except ValueError as few:
            raise PluginError(f"nothing was learnt, and it begins anew: {few}") from few
        fitting.write(self._state, known, self._tags)
        self._known = known
        self._keeper.value["before"] = whole[len(whole) - known.model.before :].tolist()
        return []

    def _tell(
        self, known: fitting.Known, times: npt.NDArray[np.int64], rows: Numbers
    ) -> list[Result]:
        model = known.model
        value = self._keeper.value
        before = np.array(value.get("before", []), np.float64).reshape(-1, rows.shape[1])
        whole = np.concatenate([before, rows])
        value["before"] = whole[max(len(whole) - model.before, 0) :].tolist()
        state = Sums(**value.get("sums", {}))
        given = np.full(len(rows), np.nan)
        if len(whole) > model.before:
            told = model(whole[:, 2:], whole[:, 1], whole[:, 0])[-len(rows) :]
            given[len(rows) - len(told) :] = told
        predicted = given + known.centre
        residual = rows[:, 1] - predicted
        normalised = residual / known.spread
        strange = known.strange(rows[:, 2:])
        sums, turns = state.take(np.where(strange, np.nan, normalised), self._settings.rule)
        value["sums"] = asdict(state)
        results = [
            _samples("predicted", predicted, times, strange),
            _samples("residual", residual, times, strange),
            _samples("normalised", normalised, times, strange),
            Result("cusum", values=sums, times_ns=times),
            Result("drift", state.drift),
        ]
        for at, begins in turns:
            event = self._finding(float(normalised[at]), state, begins=begins)
            results.append(Result("finding", event, times_ns=int(times[at])))
        return results

    def _finding(self, normalised: float, state: Sums, *, begins: bool) -> str:
        over = state.over >= state.under
        how = f"{'over' if over else 'under'} its model, now by {abs(normalised):.1f} deviations"
        message = f"{self._tags[0]} drifts: {how}" if begins else f"{self._tags[0]} drifts no more"
        event = {
            "message": message,
            "severity": 500 if begins else 100,
            "condition": "drift",
            "active": begins,
        }
        return json.dumps(event)


def _samples(
    output: str,
    values: Numbers,
    times: npt.NDArray[np.int64],
    strange: npt.NDArray[np.bool_],
) -> Result:
    """Samples; bad where there is no value, uncertain where nothing was learnt."""
    missing = ~np.isfinite(values)
    quality = np.where(missing, BAD, np.where(strange, UNCERTAIN, 0)).astype(np.uint32)
    return Result(output, values=np.where(missing, 0.0, values), times_ns=times, quality=quality)
