"""Optuna: TPE and Hyperband on SQLite; two such processes share a study."""

from __future__ import annotations

from typing import Any

import optuna

from benchmarks.peers.work import Work


def suggested(trial: optuna.Trial, name: str, entry: Any) -> Any:
    """A hyper-parameter of the trial, the way the manual writes it."""
    if isinstance(entry, list):
        return trial.suggest_categorical(name, entry)
    if entry["integer"]:
        return trial.suggest_int(name, entry["low"], entry["high"], log=entry["log"])
    return trial.suggest_float(name, entry["low"], entry["high"], log=entry["log"])


def main() -> None:
    work = Work.from_command_line()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="peer",
        storage=f"sqlite:///{work.folder}/optuna.db",
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=2 * work.seed + work.worker),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=work.epochs, reduction_factor=3),
    )

    def objective(trial: optuna.Trial) -> float:
        params = {name: suggested(trial, name, entry) for name, entry in work.space.items()}
        best = 0.0
        for epoch, accuracy in enumerate(work.train(params, work.epochs), 1):
            best = max(best, accuracy)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    study.optimize(objective, timeout=max(0.0, work.left))


if __name__ == "__main__":
    main()
