"""The grid: each combination once, those of Optuna's grid sampler."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.samplers import GridSampler

from hpsearch.errors import HpsearchError
from hpsearch.records import Params
from hpsearch.search import History, make_sampler
from hpsearch.study.file import Study
from tests.made_up import make_study, tried

GRID = {
    "learning_rate": [0.01, 0.1],
    "depth": {"low": 1, "high": 5, "step": 2},
    "momentum": {"low": 0.0, "high": 0.9, "step": 0.3},
    "activation": ["relu", "tanh", "sigmoid"],
}


def grid_points(study: Study) -> list[Params]:
    sampler = make_sampler(study)
    assert sampler.most is not None
    asked: list[Params] = []
    for cohort in range(100):
        if len(asked) >= sampler.most:
            break
        count = min(7, sampler.most - len(asked))
        asked += sampler(5, cohort, count, History(study.space, tried(asked, lambda params: 0.5)))
    return asked


def test_a_grid_has_the_points_of_optunas_each_once_in_a_shuffled_order() -> None:
    asked = grid_points(make_study(GRID, {"sampler": "grid"}))
    values = {"learning_rate": [0.01, 0.1], "depth": [1, 3, 5], "momentum": [0.0, 0.3, 0.6, 0.9],
              "activation": ["relu", "tanh", "sigmoid"]}  # fmt: skip
    theirs = GridSampler(values)
    expected = {
        tuple(dict(zip(theirs._param_names, point, strict=True)).items()) for point in theirs._all_grids
    }
    rounded = [{**params, "momentum": round(params["momentum"], 9)} for params in asked]
    assert len(rounded) == len(expected) == 72
    assert {tuple(sorted(params.items())) for params in rounded} == expected
    assert asked != sorted(asked, key=lambda params: list(map(str, params.values())))


def test_a_grid_leaves_out_what_is_forbidden_or_comes_to_the_same() -> None:
    space = {"optimizer": ["sgd", "adam"], "momentum": [0.0, 0.5, 0.9], "depth": [1, 2, 3]}
    forbidden = [{"optimizer": "adam", "depth": 3}]
    asked = grid_points(make_study(space, {"sampler": "grid"}, forbidden=forbidden))
    assert len(asked) == len({tuple(params.items()) for params in asked}) == 3 * 3 + 2
    assert sum(params["optimizer"] == "adam" for params in asked) == 2


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"low": 0.1, "high": 1.0}, r"found a continuous range for learning_rate\. Write, for example, lear"),
        ({"low": 0.1, "high": 1.0, "log": True}, "found a continuous range for learning_rate"),
        ({"low": 1.0, "high": 2e12, "step": 1.0}, "at most 1,000,000 combinations; found 2,000,000,000,000"),
    ],
)
def test_a_grid_of_too_much_is_refused(entry: dict[str, Any], complaint: str) -> None:
    with pytest.raises(HpsearchError, match=complaint):
        make_sampler(make_study({"learning_rate": entry}, {"sampler": "grid"}))
