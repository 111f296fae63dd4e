"""SMAC: its multi-fidelity facade (random forest and Hyperband) with two workers."""

from __future__ import annotations

from typing import Any

from ConfigSpace import Categorical, Configuration, ConfigurationSpace, Float, Integer
from dask.distributed import Client
from smac import MultiFidelityFacade, Scenario

from benchmarks.peers.work import Work

WORKERS = 2


def hyperparameter(name: str, entry: Any) -> Any:
    """A hyper-parameter of the space in ConfigSpace's words."""
    if isinstance(entry, list):
        return Categorical(name, entry)
    kind = Integer if entry["integer"] else Float
    return kind(name, (entry["low"], entry["high"]), log=entry["log"])


def main() -> None:
    work = Work.from_command_line()
    space = ConfigurationSpace(seed=work.seed)
    space.add(*(hyperparameter(name, entry) for name, entry in work.space.items()))
    scenario = Scenario(
        space,
        output_directory=work.folder / "smac",
        deterministic=True,
        walltime_limit=max(1.0, work.left),
        n_trials=1_000_000,
        min_budget=1,
        max_budget=work.epochs,
        n_workers=WORKERS,
        seed=work.seed,
    )

    def cost(config: Configuration, seed: int, budget: float) -> float:
        params = {name: value.item() if hasattr(value, "item") else value for name, value in config.items()}
        return 1 - max(work.train(params, round(budget)), default=0.0)

    # A client of our own, because the one that SMAC makes is not closed at the end.
    with Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as client:
        MultiFidelityFacade(scenario, cost, dask_client=client, logging_level=40, overwrite=True).optimize()


if __name__ == "__main__":
    main()
