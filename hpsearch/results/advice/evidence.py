"""The evidence for advice: a report's numbers, prepared once for all detectors."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from hpsearch.errors import StudyFileError
from hpsearch.records import CURVE_COLUMNS, Curves, FloatArray, State, valid_place
from hpsearch.results.frames import PARAM, Report
from hpsearch.study.file import Study, study_from_document
from hpsearch.text import is_share, plain, signed_texts

BEST = 10
"""Number of best trials that are examined for what they have in common."""
ENOUGH = 20
"""Of fewer trials the best ten would be no selection."""
LEVEL = 0.001
"""False alarm rate of a detector, shared among the hyper-parameters it examines: there are many detectors,
and most studies are fine."""
FEWEST_CURVES = 5
"""Fewer curves show no trend."""

_SECTIONS = ("space", "train", "search", "data")
"""Of a study file, whose keys remedies set."""

NO_BETTER_THAN_A_GUESS, FEWER_EPOCHS = "class imbalance", "fewer epochs"
"""Kinds of advice: of a study of the first, nothing can be said of how soon its trials were good."""

_BLIND = ("random", "qmc", "grid")
"""Samplers that don't learn."""
_UNSTABLE = 0.01
"""Of the F test, at which the noise is about twice the spread of the best ten."""
_SMALL = 0.05
_ROUNDING = 12**-0.5
"""The standard deviation of a rounding error, in units of what is rounded to."""


@dataclass(frozen=True)
class Advice:
    """Something about a study that could be better.

    kind: such as "edge", "overfitting". text: the evidence, in numbers, without a full stop. remedy: a line
    for the study file, which `--set` also takes, or a command, or None. strength: from 0 to 1, for order: how
    much such a remedy may gain, times how far off the study is. parameter: the hyper-parameter concerned, or
    "".
    """

    kind: str
    text: str
    remedy: str | None
    strength: float
    parameter: str = ""

    @property
    def written(self) -> str | None:
        """The remedy for people: a line for the study file as its section and key."""
        section, _, line = (self.remedy or "").partition(".")
        return f"[{section}] {line}" if section in _SECTIONS else self.remedy


def remedy_command(report: Report, remedy: str | None) -> str | None:
    """The command that tries a remedy in a new study from scratch: trials of this one may not fit it."""
    if remedy is None or remedy.partition(".")[0] not in _SECTIONS:
        return remedy
    name = report.record.name
    return plain(shlex.join(["hpsearch", "run", name, "--set", f"study.name={name}-2", "--set", remedy]))


@dataclass(frozen=True)
class Evidence:
    """A report's numbers; more is better everywhere: a metric to minimise has its sign flipped."""

    report: Report

    @cached_property
    def study(self) -> Study:
        """The study as it was written."""
        return study_from_document(self.report.record.document, self.report.record.origin)

    @property
    def asked(self) -> set[str]:
        """The hyper-parameters that the study asks about, if any."""
        by = self.study.compare.by if self.study.compare is not None else []
        return {*([by] if isinstance(by, str) else by), *self.study.search.scientific}

    @property
    def metric(self) -> str:
        return self.report.record.metric

    @property
    def sign(self) -> float:
        """1 where more of the metric is better, otherwise −1."""
        return 1.0 if self.report.record.direction == "maximize" else -1.0

    @property
    def epochs(self) -> int:
        """The most that a trial gets."""
        return self.study.train.epochs

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Rows of the trials that are complete, stopped or diverged."""
        trials = self.report.trials
        finished: pd.DataFrame = trials[(trials["state"] != str(State.RUNNING)).to_numpy()]
        return finished

    @cached_property
    def judged(self) -> pd.DataFrame:
        """Rows of the finished trials that have a value."""
        judged: pd.DataFrame = self.finished[np.isfinite(self.finished["value"].to_numpy())]
        return judged

    @cached_property
    def early(self) -> pd.DataFrame:
        """Rows of the finished trials chosen without knowledge: of the first cohort, at least 20.

        Later ones have much in common if the sampler learns, even in what makes no difference.
        """
        search = self.study.search
        if search.sampler in _BLIND:
            return self.finished
        return self.finished.sort_values("trial").head(max(ENOUGH, search.cohort))

    @cached_property
    def best(self) -> pd.DataFrame:
        """Rows of the best ten, or of fewer where fewer have a rank."""
        return self.report.ranked.head(BEST)

    @property
    def chosen(self) -> bool:
        """Whether the best ten are a selection from enough trials, including those stopped early."""
        return len(self.best) == BEST and len(self.judged) >= ENOUGH

    @cached_property
    def curves(self) -> Curves:
        return Curves.join(self.report.curves)

    @cached_property
    def whole(self) -> pd.DataFrame:
        """Rows of those of the best ten whose curves have all epochs and finite values."""
        curves, columns = self.curves, len(CURVE_COLUMNS)
        nothing = np.empty((0, columns))
        found = [curves.get(number, nothing)[:, :columns] for number in self.best["trial"].tolist()]
        whole = [len(curve) == self.epochs and bool(np.isfinite(curve).all()) for curve in found]
        return self.best.loc[whole]

    @cached_property
    def best_curves(self) -> FloatArray:
        """[trials, epochs, 4] of these; see records.CURVE_COLUMNS."""
        columns = len(CURVE_COLUMNS)
        found = [self.curves[number][:, :columns] for number in self.whole["trial"].tolist()]
        return np.array(found, dtype=np.float64).reshape(len(found), self.epochs, columns)

    @property
    def best_metric(self) -> FloatArray:
        """[trials, epochs] their ranked metric, more is better."""
        column = valid_place(self.metric)
        return self.sign * self.best_curves[:, :, column]

    @cached_property
    def noise(self) -> float | None:
        """Standard deviation of an epoch's metric about its neighbours, in the second halves of the best.

        Steps from epoch to epoch vary by √2 of it. None with too few curves or epochs.
        """
        late = self.best_metric[:, self.epochs // 2 :]
        if len(late) < FEWEST_CURVES or late.shape[1] < 4:
            return None
        steps = np.diff(late, axis=1)
        return max(float(steps.std(axis=1).mean()) / 2**0.5, _ROUNDING * self.one_row)

    @cached_property
    def spread(self) -> float:
        """The standard deviation of the best ten's values; 0 of fewer than two."""
        return float(self.best["value"].std()) if len(self.best) > 1 else 0.0

    @cached_property
    def unstable(self) -> bool:
        """Whether the metric of the best ten varies more from epoch to epoch than between their ranks.

        By the F test of the noise of an epoch against the spread of the ranked values. The best of a good
        study are close together, so the noise must also exceed two rows, for shares of rows, and a twentieth
        of the best one's lead over an early trial.
        """
        if self.noise is None or len(self.best) < BEST or self.noise <= 2 * self.one_row:
            return False
        scores = self.scores(self.early)
        if self.noise <= _SMALL * (self.scores(self.best)[0] - np.median(scores[np.isfinite(scores)])):
            return False
        from scipy.special import fdtrc

        freedom = len(self.whole) * (self.epochs // 2 - 1)
        return not self.spread or bool(fdtrc(freedom, BEST - 1, (self.noise / self.spread) ** 2) <= _UNSTABLE)

    @property
    def one_row(self) -> float:
        """The weight of one validation row in a share of rows; 0 for other metrics."""
        summary = self.report.record.data_summary
        rows = summary.get("rows", summary)
        count = rows.get("valid") if isinstance(rows, dict) else None
        return 1 / count if is_share(self.metric) and isinstance(count, int) and count else 0.0

    def scores(self, trials: pd.DataFrame) -> FloatArray:
        """[trials] values, more is better; −∞ for those that diverged."""
        value = trials["value"].to_numpy(dtype=np.float64)
        return np.where(np.isfinite(value), self.sign * value, -np.inf)

    @cached_property
    def standing(self) -> FloatArray:
        """[finished] the trials' places in the study as normal scores (van der Waerden 1952), best highest.

        Who got further stands higher, among equals who has the better value; diverged trials share the
        lowest place.
        """
        from scipy.special import ndtri

        value = self.scores(self.finished)
        there = np.isfinite(value)
        order = np.lexsort((value, np.where(there, self.finished["epochs"].to_numpy(np.float64), -1.0)))
        ranks = np.empty(len(value))
        ranks[order] = np.arange(1, len(value) + 1)
        ranks[~there] = (~there).sum() / 2
        places: FloatArray = ndtri(np.maximum(ranks - 0.375, 0.25) / (len(value) + 0.25))
        return places

    def numbers(self, trials: pd.DataFrame, name: str) -> FloatArray:
        """[trials] values of a numeric hyper-parameter; NaN where a trial does not use it, or for words."""
        column = pd.to_numeric(trials[PARAM + name], errors="coerce")
        return column.to_numpy(dtype=np.float64, na_value=np.nan)

    def settings(self, trials: pd.DataFrame, name: str) -> list[object]:
        """[trials] values of a hyper-parameter, searched or the same for all."""
        if name in self.study.space.searched:
            return list(trials[PARAM + name])
        return [self.study.space.fixed.get(name)] * len(trials)

    def amount(self, value: float) -> str:
        """A difference of the metric without its sign: of shares in points."""
        text = signed_texts(self.metric, value)[0].lstrip("+−")
        return f"{text} points" if is_share(self.metric) else text

    def accepted(self, remedies: Iterable[str]) -> str | None:
        """The first of some lines with which the study file is still valid, if any."""
        for line in remedies:
            try:
                study_from_document(self.report.record.document, overrides=[line])
            except StudyFileError:
                continue
            return line
        return None


def counted(count: int) -> str:
    """ "ten", "7"."""
    return "ten" if count == BEST else str(count)


def percent(share: float) -> str:
    """ "27 %", "0.4 %"."""
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def surely_above(values: FloatArray, bound: float = 0.0, level: float = LEVEL) -> bool:
    """Whether the mean of values [n] is above a bound, by Student's t test (1908).

    Values that are all the same are taken at their word.
    """
    from scipy.special import stdtr

    spread = float(values.std(ddof=1)) / len(values) ** 0.5
    if spread == 0:
        return bool(values[0] > bound)
    return bool(stdtr(len(values) - 1, (bound - values.mean()) / spread) <= level)
