"""How trials are chosen and stopped: Optuna's samplers by the cohort, and rungs."""

from hpsearch.search.sampler import CohortSampler, make_sampler
from hpsearch.search.stopping import Score, Stopping, make_stopping

__all__ = ["CohortSampler", "Score", "Stopping", "make_sampler", "make_stopping"]
