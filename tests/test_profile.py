"""`--profile`: the seconds add up, and the operations are those of the networks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hpsearch.running.networks import Networks
from hpsearch.running.pool import TileResult
from hpsearch.running.profile import Profile
from hpsearch.study.hyperparameters import Configuration
from hpsearch.study.space import Space
from hpsearch.train import Tile, train_lanes
from tests.problems import make_lanes, make_problem
from tests.studies import hpsearch, url, write_study


def test_operations_are_counted_by_hand() -> None:
    """7-5-3 on 200 rows in batches of 30 (180 are seen) and 53 validation rows, two epochs, two lanes."""
    problem = make_problem()
    lanes = make_lanes(problem, [Configuration(hidden="5", batch_size=30, learning_rate=0.01)] * 2)
    results = train_lanes(problem, lanes, 2)
    profile = Profile(workers=1)
    profile.count(Networks(problem, Space({})), TileResult(Tile(tuple(lanes), 2, 1.0), results, 3.0))
    forward, to_weights, below = 2 * (7 * 5 + 5 * 3), 2 * (7 * 5 + 5 * 3), 2 * 5 * 3
    assert profile.operations == 2 * 2 * (180 * (forward + to_weights + below) + 53 * forward)
    assert profile.training + profile.evaluating == pytest.approx(3.0)


def test_phases_add_up() -> None:
    profile = Profile(workers=2)
    for _ in range(2):
        with profile.time("sampling"):
            sum(range(1000))
    profile.seconds, profile.training, profile.evaluating = 10.0, 12.0, 3.0
    assert profile.idle == 5.0
    assert 0 < profile.phases["sampling"] < 1


def test_a_run_says_where_its_time_went(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    done = hpsearch("run", path, "--storage", url(tmp_path / "p.db"), "--profile")
    assert done.returncode == 0, done.stderr
    said = done.stderr
    shares = [int(share) for share in re.findall(r"(?:training|evaluating|idle) (\d+)%", said)]
    assert np.isclose(sum(shares), 100, atol=2)
    whole, *parts = (
        float(re.search(rf"{name}\s+([\d.]+) s ", said)[1])  # type: ignore[index]
        for name in ("profile", "starting", "training", "showing")
    )
    assert sum(parts) == pytest.approx(whole, abs=0.05)
    for phase in ("deciding", "sampling", "planning", "storing"):
        assert re.search(rf"{phase} \d+\.\d\d", said)
    assert re.search(r"\d GFLOP/s, \d+% of the machine's [\d,]+ \(sgemm", said)
    lines = said[said.index("profile") :].splitlines()
    assert max(map(len, lines)) <= 80
    assert "profile" not in hpsearch("run", path, "--storage", url(tmp_path / "q.db")).stderr
