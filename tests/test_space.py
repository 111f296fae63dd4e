"""Hyper-parameters that mean something to some trials only, and those that belong to one optimiser."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

import hpsearch
from hpsearch.errors import StudyFileError
from hpsearch.records import Task
from hpsearch.study.file import load_study
from hpsearch.study.methods import SAMPLERS

TWO = """
[data]
source = "xor"
[space]
optimizer = ["sgd", "adam"]
sgd.learning_rate = { low = 1e-2, high = 1.0, log = true }
adam.learning_rate = { low = 1e-4, high = 1e-1, log = true }
momentum = { low = 0.0, high = 0.95 }
batch_size = [16, "all"]
activation = ["relu", "elu"]
elu.alpha = { low = 0.5, high = 2.0 }
width = 8
[train]
epochs = 3
[search]
trials = 60
cohort = 20
sampler = "{sampler}"
"""


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("grid", "nsga3")])
def test_trials_are_stored_with_what_means_something_to_them(tmp_path: Path, sampler: str) -> None:
    path = tmp_path / "two.toml"
    path.write_text(TWO.replace("{sampler}", sampler))
    storage = f"sqlite:///{tmp_path}/x.db"
    result = hpsearch.run(path, storage=storage, confirm=False)
    assert len(result.trials) == 60
    seen = set()
    for trial in optuna.load_study(study_name="two", storage=storage).trials:
        adam, elu = trial.params["optimizer"] == "adam", trial.params["activation"] == "elu"
        seen.add((adam, elu))
        own = {"adam.learning_rate"} if adam else {"sgd.learning_rate", "momentum"}
        own |= {"elu.alpha"} if elu else set()
        assert set(trial.params) == own | {"optimizer", "batch_size", "activation"}
    assert len(seen) == 4
    assert set(result.trials["param_batch_size"]) == {16, "all"}
    space = load_study(path).space
    adam = {"optimizer": "adam", "adam.learning_rate": 0.003, "batch_size": "all", "activation": "relu"}
    configuration = space.configuration(adam)
    assert (configuration.learning_rate, configuration.optimizer) == (0.003, "adam")
    assert space.configuration(adam | {"activation": "elu", "elu.alpha": 0.7}).alpha == 0.7
    assert space.configuration(adam | {"activation": "leaky_relu"}).alpha == 0.01


@pytest.mark.parametrize(
    ("task", "train", "complaint"),
    [
        (Task.BINARY, 'loss = "mse"', '"mse" does not fit a binary task; expected one of bce'),
        (Task.REGRESSION, 'loss = "poisson"', '"poisson" does not fit a regression task'),
        (
            Task.REGRESSION,
            'representation = "relu"',
            '"relu" applies to positive_regression; the task is regression',
        ),
        (Task.POSITIVE_REGRESSION, 'loss = "poisson"\nrepresentation = "relu"', "needs outputs above 0"),
        (Task.REGRESSION, 'metric = "auc"', '"auc" does not fit a regression task'),
        (Task.MULTICLASS, 'metric = "rmse"', '"rmse" does not fit a multiclass task'),
    ],
)
def test_losses_and_metrics_must_fit_the_task(tmp_path: Path, task: Task, train: str, complaint: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'[data]\nsource = "xor"\n[train]\n{train}\n')
    with pytest.raises(StudyFileError, match=complaint) as refused:
        load_study(path).resolve(task)
    assert "s.toml:4:1: train." in str(refused.value)
