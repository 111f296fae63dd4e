"""Checks that the keys of `[search]` go together, and with the space."""

from __future__ import annotations

from math import prod

from hpsearch.study.keys import near_key
from hpsearch.study.methods import SAMPLERS, exhaustive
from hpsearch.study.schema import SearchSection, TrainSection
from hpsearch.study.space import Complain, Space

_MOST_COMBINATIONS = 64


def check_search(search: SearchSection, space: Space, complain: Complain) -> None:
    """Complain of keys that contradict each other."""
    sampler = SAMPLERS.get(search.sampler)
    if search.options and sampler is not None:
        complain("options", f"apply to a sampler given by its import path; {search.sampler} has no options")
    if search.objectives and search.stopping != "none" and "stopping" in search.model_fields_set:
        complain(
            "stopping",
            f'"{search.stopping}" judges by the metric alone and would stop trials on the Pareto front; '
            'with several objectives use "none"',
        )
    wanted = "any" if sampler is None else sampler.objectives
    if wanted == "one" and search.objectives:
        complain(
            "sampler", f"{search.sampler} handles one objective; with several use nsga2, nsga3, tpe or random"
        )
    if wanted == "several" and not search.objectives:
        complain(
            "sampler",
            f"{search.sampler} needs several objectives; name the others in search.objectives, or use nsga2",
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
                "scientific", f'"{name}" is not searched{near_key(name, space.searched)} (searched: {known})'
            )
        elif values is None:
            complain("scientific", f"{name} is a continuous range; list the values to compare")
        else:
            sizes.append(len(values))
    if prod(sizes) > _MOST_COMBINATIONS:
        complain("scientific", f"expected at most {_MOST_COMBINATIONS} combinations; found {prod(sizes):,}")
    elif sizes and exhaustive(search.sampler):
        complain(
            "scientific",
            f"a {search.sampler} tries each value equally often anyway; leave out one of the two",
        )
    elif sizes and prod(sizes) > search.trials:
        complain("scientific", f"has {prod(sizes)} combinations; search.trials = {search.trials} is fewer")


def check_train(search: SearchSection, train: TrainSection, complain: Complain) -> None:
    """Complain of epochs that a trial never has, and of an objective that is the metric already."""
    if train.metric == "loss" and "loss" in search.objectives:
        complain("objectives", "loss already is train.metric; leave it out")
    if search.min_epochs and search.min_epochs > train.epochs:
        complain("min_epochs", f"{search.min_epochs} exceeds train.epochs = {train.epochs}")
    if search.stopping == "patience" and search.patience and search.patience + 1 >= train.epochs:
        complain("patience", f"{search.patience} never stops a trial of {train.epochs} epochs")
