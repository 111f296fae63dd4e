"""A sampler and a stopping rule that a user might write: one file, named by a line of the registry each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.search import Ask, History, Rung, Words
from hpsearch.search.stopping import Keep
from hpsearch.study.file import Study


class First:
    """Draws the first value of everything, always."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        return np.where(np.isnan(ask.pinned), 0.0, ask.pinned)


class OddOnesOut(Keep):
    """Stops trials of odd numbers at the first rung."""

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        return {number: "odd" for number in arrived if number % 2}


def odd_ones_out(study: Study) -> OddOnesOut:
    return OddOnesOut((1, study.train.epochs))
