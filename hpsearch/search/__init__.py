"""How trials are chosen and stopped: Optuna's samplers by the cohort, rungs and budgets."""

from hpsearch.search.ask import Ask, Draw
from hpsearch.search.history import History
from hpsearch.search.sampler import CohortSampler, make_sampler
from hpsearch.search.stock import SamplerFactory
from hpsearch.search.stopping import Rung, Score, Stopping, Words, enough, make_stopping, trials_left

__all__ = [
    "Ask",
    "CohortSampler",
    "Draw",
    "History",
    "Rung",
    "SamplerFactory",
    "Score",
    "Stopping",
    "Words",
    "enough",
    "make_sampler",
    "make_stopping",
    "trials_left",
]
