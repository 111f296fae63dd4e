"""The benchmarks compare with what they say: a plain torch loop, and rows that are printed as they are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from benchmarks import page, solo
from benchmarks.__main__ import PARTS, chosen
from benchmarks.chart import median_series
from benchmarks.digits import digits
from benchmarks.live import live_share
from benchmarks.measure import Part, Row, markdown, versus
from benchmarks.peers.launch import PeerError, read_records
from hpsearch.records import State, Trial
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, initial_state
from hpsearch.train.solo import train_solo
from tests.problems import make_problem

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_the_plain_loop_is_the_reference_without_its_bookkeeping(loss: str) -> None:
    """From the same weights and in the same order it has the same losses and accuracy."""
    problem = make_problem(loss)
    settings = Configuration(
        learning_rate=0.05, momentum=0.8, weight_decay=1e-3, batch_size=30, depth=3, width=9
    )
    state = initial_state(problem, 0, settings)
    model = solo.network(problem.features, settings.layers, problem.outputs, "relu")
    flat, at = torch.from_numpy(state.parameters), 0
    with torch.no_grad():
        for layer in (module for module in model if isinstance(module, torch.nn.Linear)):
            size = layer.weight.numel()
            layer.weight.copy_(flat[at : at + size].view(layer.in_features, layer.out_features).T)
            layer.bias.copy_(flat[at + size : at + size + layer.out_features])
            at += size + layer.out_features
    data = solo.Data(
        *(torch.from_numpy(a) for a in (problem.x_train, problem.y_train, problem.x_valid, problem.y_valid))
    )
    optimizer = solo.descent(model, asdict(settings))
    (reference,) = train_solo(problem, [Lane(0, settings, state)], 2)
    for epoch in (1, 2):
        order = torch.from_numpy(problem.order(epoch).copy())
        ours = solo.train_epoch(model, optimizer, data, order, 30).item()
        assert ours == pytest.approx(reference.curve[epoch - 1, 0], rel=1e-5)


def test_rows_are_printed_as_they_are() -> None:
    row = versus("work: steps/s", "300", "a loop", "20", 15.04, goal=10)
    assert markdown(row) == "| work: steps/s | 300 | a loop | 20 | 15.0× | ≥ 10× |"
    assert markdown(Row("work", "3")) == "| work | 3 | – | – | – | – |"


def test_the_page_has_every_row_and_its_chart_can_be_drawn(tmp_path: Path) -> None:
    rows = [versus("a", "3", "b", "1", 3.0, goal=2), Row("not compared", "7")]
    lines = {"hpsearch": [[(1.0, 0.9), (2.0, 0.98)], [(1.5, 0.97)]], "A peer, 2 CPUs": [[(5.0, 0.95)]]}
    page.write([Part("A part", rows, "How it is done.", lines)], tmp_path)
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line in map(markdown, rows)] == list(map(markdown, rows))
    assert "### A part\n\nHow it is done." in text
    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")


def test_curves_of_several_seeds_become_their_median() -> None:
    series = [[(1.0, 0.5), (3.0, 0.9)], [(2.0, 0.7)], [(2.5, 0.6)]]
    assert median_series(series) == ([2.5, 3.0], [0.6, 0.7])


def test_only_known_parts_run() -> None:
    with pytest.raises(SystemExit, match="no such part: serch"):
        chosen(["serch"])
    assert chosen(["search"]) == [PARTS["search"]]
    assert len(chosen([])) == len(PARTS) >= 9


def test_what_a_peer_recorded_after_its_time_does_not_count(tmp_path: Path) -> None:
    lines = [(11.0, 0.8, 1), (12.0, 0.7, 2), (15.0, 0.9, 2), (21.0, 0.99, 3)]
    records = [f'{{"at": {at}, "accuracy": {a}, "params": {{"depth": {d}}}}}' for at, a, d in lines]
    (tmp_path / "1.jsonl").write_text("\n".join(records))
    found = read_records(tmp_path.glob("*.jsonl"), began=10.0, seconds=10.0)
    assert found.series == [(1.0, 0.8), (5.0, 0.9)]
    assert (found.best, found.after, found.params) == (0.9, 5.0, {"depth": 2})
    assert (found.trials, found.epochs) == (2, 3)
    with pytest.raises(PeerError, match="no epoch"):
        read_records(tmp_path.glob("*.jsonl"), began=10.0, seconds=0.5)


def test_the_last_epoch_of_a_diverged_trial_counts_as_dead() -> None:
    """1,078 rows: 33 mini-batches of 32 an epoch. Stacked, a lane that diverged in epoch 4 goes on to 9."""
    params = {"batch_size": 32, "learning_rate": 0.1, "momentum": 0.0, "depth": 1, "activation": "relu"}
    trials = [Trial(0, 0, params, State.COMPLETE, 27), Trial(1, 0, params, State.FAILED, 4)]
    assert live_share(digits(0), trials, native=True) == pytest.approx((27 + 3) / (27 + 4))
    assert live_share(digits(0), trials, native=False) == pytest.approx((27 + 3) / (27 + 9))


def test_the_benchmarks_are_there_without_the_peers_packages() -> None:
    code = "import sys, benchmarks.__main__; assert not {'ray', 'smac'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
