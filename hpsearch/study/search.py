"""What of `[search]` does not go together, or not with the space."""

from __future__ import annotations

from math import prod

from hpsearch.errors import nearest
from hpsearch.study.methods import SAMPLERS, exhaustive
from hpsearch.study.schema import SearchSection, TrainSection
from hpsearch.study.space import Complain, Space

_MOST_COMBINATIONS = 64


def check_search(search: SearchSection, space: Space, complain: Complain) -> None:
    """Complain of keys that mean nothing together."""
    sampler = SAMPLERS.get(search.sampler)
    if search.options and sampler is not None:
        complain("options", f"are for a sampler by its import path; {search.sampler} has none")
    if search.objectives and search.stopping != "none" and "stopping" in search.model_fields_set:
        complain(
            "stopping",
            f'"{search.stopping}" judges the metric alone, and would stop trials of the Pareto front; '
            'with several objectives use "none"',
        )
    wanted = "any" if sampler is None else sampler.objectives
    if wanted == "one" and search.objectives:
        complain(
            "sampler", f"{search.sampler} knows one objective; with several use nsga2, nsga3, tpe or random"
        )
    if wanted == "several" and not search.objectives:
        complain(
            "sampler",
            f"{search.sampler} is for several objectives; name the others as search.objectives, or use nsga2",
        )
    if len(set(search.objectives)) < len(search.objectives):
        complain("objectives", f"expected each once; found {', '.join(search.objectives)}")
    _check_scientific(search, space, complain)


def _check_scientific(search: SearchSection, space: Space, complain: Complain) -> None:
    sizes = []
    for name in search.scientific:
        values = space.values(name) if name in space.searched else None
        if name not in space.searched:
            known = ", ".join(space.searched) or "none"
            complain(
                "scientific", f'"{name}" is not searched{nearest(name, space.searched)} (searched: {known})'
            )
        elif values is None:
            complain("scientific", f"{name} is a continuous range; give a list of values to compare")
        else:
            sizes.append(len(values))
    if prod(sizes) > _MOST_COMBINATIONS:
        complain("scientific", f"expected at most {_MOST_COMBINATIONS} combinations; found {prod(sizes):,}")
    elif sizes and exhaustive(search.sampler):
        complain(
            "scientific", f"a {search.sampler} has each value equally often anyway; leave one of the two out"
        )
    elif sizes and prod(sizes) > search.trials:
        complain("scientific", f"has {prod(sizes)} combinations, more than search.trials, {search.trials}")


def check_train(search: SearchSection, train: TrainSection, complain: Complain) -> None:
    """Complain of epochs that a trial never has, and of an objective that is the metric already."""
    if train.metric == "loss" and "loss" in search.objectives:
        complain("objectives", "loss is train.metric already; leave it out")
    if search.min_epochs and search.min_epochs > train.epochs:
        complain("min_epochs", f"{search.min_epochs} is more than train.epochs, {train.epochs}")
    if search.stopping == "patience" and search.patience and search.patience + 1 >= train.epochs:
        complain("patience", f"{search.patience} would never stop a trial of {train.epochs} epochs")
