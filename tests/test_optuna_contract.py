"""What hpsearch needs of Optuna's private parts: a version that changes any of it fails here first."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search import optuna_private
from hpsearch.store import optuna_tables

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hpsearch"
ALLOWED = {"search/optuna_private.py", "store/optuna_tables.py"}
SPACE: dict[str, Any] = {
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "depth": IntDistribution(1, 4),
    "activation": CategoricalDistribution(("relu", "tanh")),
}
COLUMNS = {
    "studies": {"study_id", "study_name"},
    "study_directions": {"study_id", "direction", "objective"},
    "study_system_attributes": {"study_id", "key", "value_json"},
    "study_user_attributes": {"study_id"},
    "trials": {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    "trial_params": {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
    "trial_values": {"trial_id", "objective", "value", "value_type"},
    "trial_intermediate_values": {"trial_id", "step", "intermediate_value", "intermediate_value_type"},
    "trial_user_attributes": {"trial_id", "key", "value_json"},
    "trial_system_attributes": {"trial_id"},
    "trial_heartbeats": {"trial_id"},
    "version_info": {"version_info_id", "schema_version", "library_version"},
}
"""That hpsearch reads or writes; the others have a default or may be NULL."""


def private_imports(path: Path) -> list[str]:
    """Private modules and names of Optuna that a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [name for name in names if re.match(r"optuna\..*(?<=\.)_", name)]
    return found


def test_two_files_import_private_parts() -> None:
    having = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if private_imports(path)}
    assert having == ALLOWED


@pytest.mark.parametrize(
    ("line", "private"),
    [
        ("from optuna._gp import gp", True),
        ("import optuna.storages._rdb.models", True),
        ("def f():\n    from optuna.storages import _rdb", True),
        ("from optuna.samplers import TPESampler", False),
    ],
)
def test_private_imports_are_seen(tmp_path: Path, line: str, private: bool) -> None:
    (tmp_path / "x.py").write_text(line)
    assert bool(private_imports(tmp_path / "x.py")) is private


def test_the_next_minor_version_is_not_installed_unseen() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (bounds,) = (line for line in wanted if line.startswith("optuna"))
    minor = ".".join(optuna.__version__.split(".")[:2])
    assert bounds == f"optuna>={minor},<{minor[:-1]}{int(minor[-1]) + 1}"


# -- the search ---------------------------------------------------------------------------------------


def test_the_transform_of_a_space() -> None:
    transform = optuna_private.SpaceTransform(dict(SPACE), transform_0_1=True)
    assert transform.bounds.shape == (4, 2)  # an axis for each choice
    point = transform.transform({"rate": 0.1, "depth": 2, "activation": "tanh"})
    assert point.shape == (4,)
    assert ((point >= 0) & (point <= 1)).all()
    assert transform.untransform(point) == {"rate": pytest.approx(0.1), "depth": 2, "activation": "tanh"}


def test_the_parzen_estimator_and_its_kernels() -> None:
    columns = {
        "rate": np.array([0.1, 0.2]),
        "depth": np.array([1.0, 3.0]),
        "activation": np.array([0.0, 1.0]),
    }
    mixed = optuna_private.mixture(optuna_private.parzen_estimator(columns, SPACE))
    kernels = len(mixed.weights)
    assert kernels == 3  # one a trial, and a prior
    assert sum(mixed.weights) == pytest.approx(1)
    rate, depth, activation = mixed.distributions
    for d, log, step in ((rate, True, 0.0), (depth, False, 1.0)):
        assert d.mu.shape == d.sigma.shape == (kernels,)
        assert d.is_log is log
        assert (d.step or 0.0) == step
        assert d.adapted_low < d.adapted_high
        assert d.low < d.high
    assert isinstance(activation, optuna_private.CategoricalKernels)
    assert activation.weights.shape == (kernels, 2)


def test_the_share_of_good_trials() -> None:
    assert [optuna_private.hyperopt_default_gamma(n) for n in (10, 100, 10_000)] == [1, 3, 25]


def test_the_fronts() -> None:
    losses = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [1.0, 1.0]])
    assert optuna_private.non_domination_rank(losses, n_below=4).tolist() == [0, 0, 2, 1]


@pytest.mark.parametrize("kind", [optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_nsga_takes_its_parents_from_trials_that_are_marked(kind: Any) -> None:
    sampler = kind(population_size=2, seed=0, mutation_prob=0.0, crossover_prob=0.0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    key = optuna_private.generation_key(sampler)
    for depth, marks in ((1, {}), (3, {key: 0}), (3, {key: 0})):
        params, space = {"depth": depth}, {"depth": SPACE["depth"]}
        trial = optuna.trial.create_trial(
            params=params, distributions=space, values=[1.0, depth], system_attrs=marks
        )
        study.add_trial(trial)
    asked = [study.ask(fixed_distributions={"depth": SPACE["depth"]}).params["depth"] for _ in range(8)]
    assert asked == [3] * 8


def test_the_quasi_random_sampler_asks_for_a_points_number() -> None:
    own = optuna.samplers.QMCSampler._find_sample_id
    named = optuna_private.NumberedQMC._find_sample_id
    assert list(inspect.signature(named).parameters) == list(inspect.signature(own).parameters)
    sampler, space = optuna_private.NumberedQMC(3), {"rate": FloatDistribution(0.0, 1.0)}
    nothing: Any = None
    drawn = []
    for number in (0, 1, 0):
        sampler.number = number
        drawn.append(sampler.sample_relative(nothing, nothing, space)["rate"])
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_gaussian_process() -> None:
    import torch

    rows = np.random.default_rng(0).random((12, 2))
    scores = rows[:, 0] - rows[:, 0].mean()
    fitted = optuna_private.gaussian_process(rows, scores, np.array([False, False]))
    running = torch.from_numpy(rows[:2] / 2)
    fitted.append_running_data(running, fitted.posterior(running)[0])
    mean, covariance = fitted.posterior(torch.from_numpy(rows), joint=True)
    assert mean.shape == (12,)
    assert covariance.shape == (12, 12)
    assert float(fitted.noise_var) > 0


# -- storage ------------------------------------------------------------------------------------------


def test_the_revision_is_the_one_that_is_known() -> None:
    assert optuna_tables.newest_revision() == optuna_tables.OPTUNA_HEAD


def test_the_tables_have_the_columns_that_are_filled(tmp_path: Path) -> None:
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/x.db")
    found = sa.inspect(sa.create_engine(f"sqlite:///{tmp_path}/x.db"))
    assert set(found.get_table_names()) == COLUMNS.keys() | {"alembic_version"}
    for table, wanted in COLUMNS.items():
        columns = {column["name"]: column for column in found.get_columns(table)}
        assert wanted <= columns.keys(), table
    # What is inserted has no other column that must have a value.
    for table in ("studies", "study_directions", "trials", "trial_params", "trial_values"):
        needed = {c["name"] for c in found.get_columns(table) if not c["nullable"] and not c["primary_key"]}
        assert needed <= COLUMNS[table], table


def test_tables_made_in_a_transaction_are_those_that_optuna_makes(tmp_path: Path) -> None:
    engines = [sa.create_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("ours", "theirs")]
    with engines[0].begin() as connection:
        optuna_tables.create_tables(connection)
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/theirs.db")
    made = []
    for engine in engines:
        with engine.connect() as connection:
            tables = connection.execute(sa.text("SELECT name, sql FROM sqlite_master ORDER BY name")).all()
            versions = connection.execute(sa.text("SELECT * FROM version_info")).all()
            head = connection.execute(sa.text("SELECT * FROM alembic_version")).all()
        made.append(([(name, re.sub(r"\s", "", sql or "")) for name, sql in tables], versions, head))
    assert made[0] == made[1]


@pytest.mark.parametrize("number", [0.5, float("inf"), float("-inf")])
def test_numbers_as_columns(number: float) -> None:
    for stored in (optuna_tables.stored_value, optuna_tables.stored_intermediate):
        value, kind = stored(number)
        assert kind.name == ("FINITE" if number == 0.5 else f"INF_{'POS' if number > 0 else 'NEG'}")
        assert value == (0.5 if number == 0.5 else None)
    assert optuna_tables.stored_intermediate(float("nan"))[1].name == "NAN"
