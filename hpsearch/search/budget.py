"""When a study has enough trials: a function of what is stored."""

from __future__ import annotations

import numpy as np

from hpsearch.search.history import RUNNING, History
from hpsearch.study.file import Study


def trials_left(study: Study, history: History, most: int | None = None) -> int:
    """How many more trials may begin. most: a bound of the sampler's (of a grid, its size)."""
    total = study.search.trials if most is None else min(study.search.trials, most)
    return 0 if enough(study, history) else max(0, total - len(history))


def enough(study: Study, history: History) -> str | None:
    """Why no more trial begins, whatever the total; None where more may."""
    limit, give_up = study.search.epoch_limit, study.search.give_up
    if limit is not None and int(history.epochs.sum()) >= limit:
        return f"the limit of {limit:,} epochs is reached"
    if give_up is None:
        return None
    values = study.sign * history.value[history.state != RUNNING]
    values = np.where(np.isnan(values), -np.inf, values)
    if len(values) <= give_up.trials:
        return None
    before, lately = values[: -give_up.trials].max(), values[-give_up.trials :].max()
    if lately > before + give_up.delta:
        return None
    beyond = f" of more than {give_up.delta:g}" if give_up.delta else ""
    return f"the last {give_up.trials:,} trials brought no improvement{beyond}"
