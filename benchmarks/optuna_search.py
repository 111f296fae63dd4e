"""The usual way: the digits search with Optuna (TPE + Hyperband, SQLite), one trial after the other.

`python -m benchmarks.optuna_search STORAGE SECONDS` is one worker process; two of them share a study.
The same data, split, space and most epochs as studies/digits.toml; tensors in memory, one thread.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic

import optuna
import torch
from torch import nn

from hpsearch.data import load_dataset
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import load_study

STUDY = Path(__file__).parents[1] / "studies" / "digits.toml"
ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def main(storage: str, seconds: float) -> None:
    began = monotonic()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study_file = load_study(STUDY)
    data = load_dataset(study_file.data, study_file.seed, STUDY.parent)
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    x_valid, y_valid = torch.from_numpy(data.valid.x), torch.from_numpy(data.valid.y)
    distributions = optuna_distributions(study_file.space)
    epochs = study_file.train.epochs
    study = optuna.create_study(
        study_name="digits",
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3),
    )

    def objective(trial: optuna.Trial) -> float:
        p = {name: trial._suggest(name, d) for name, d in distributions.items()}
        layers: list[nn.Module] = []
        width = x.shape[1]
        for _ in range(p["depth"] - 1):
            layers += [nn.Linear(width, 64), ACTIVATIONS[p["activation"]]()]
            width = 64
        model = nn.Sequential(*layers, nn.Linear(width, len(data.classes)))
        optimizer = torch.optim.SGD(
            model.parameters(), lr=p["learning_rate"], momentum=p["momentum"], weight_decay=1e-4
        )
        batch = p["batch_size"]
        best = 0.0
        for epoch in range(1, epochs + 1):
            order = torch.randperm(len(x))
            for start in range(0, len(x) - batch + 1, batch):
                rows = order[start : start + batch]
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                accuracy = (model(x_valid).argmax(1) == y_valid).double().mean().item()
            best = max(best, accuracy)
            trial.report(accuracy, epoch)
            if trial.should_prune() or monotonic() - began > seconds:
                raise optuna.TrialPruned
        return best

    study.optimize(objective, timeout=max(0.0, seconds - (monotonic() - began)))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
