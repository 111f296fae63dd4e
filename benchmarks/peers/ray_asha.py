"""Ray Tune: random search with asynchronous successive halving (ASHA) on two CPUs, actors used again."""

from __future__ import annotations

import logging
import os
import secrets
from typing import Any

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_TOKEN=secrets.token_hex(32),  # or one would be kept in the user's home
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
)

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from benchmarks.peers.work import Work

CPUS = 2


def domain(entry: Any) -> Any:
    """A hyper-parameter of the space in Ray's words."""
    if isinstance(entry, list):
        return tune.choice(entry)
    if entry["integer"]:
        return tune.randint(entry["low"], entry["high"] + 1)
    return (tune.loguniform if entry["log"] else tune.uniform)(entry["low"], entry["high"])


def trainable(config: dict[str, Any], work: Work) -> None:
    for accuracy in work.train(config, work.epochs):
        tune.report({"accuracy": accuracy})


def main() -> None:
    work = Work.from_command_line()
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    scheduler = ASHAScheduler(
        metric="accuracy", mode="max", max_t=work.epochs, grace_period=1, reduction_factor=3
    )
    tuner = tune.Tuner(
        tune.with_parameters(trainable, work=work),
        param_space={name: domain(entry) for name, entry in work.space.items()},
        tune_config=tune.TuneConfig(
            num_samples=-1,
            scheduler=scheduler,
            search_alg=tune.search.BasicVariantGenerator(max_concurrent=CPUS, random_state=work.seed),
            time_budget_s=max(1.0, work.left),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(work.folder / "ray"), verbose=0),
    )
    tuner.fit()
    ray.shutdown()


if __name__ == "__main__":
    main()
