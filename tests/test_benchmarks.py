"""The benchmarks compare with what they say: a plain torch loop, and rows that are printed as they are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import page, solo
from benchmarks.__main__ import PARTS, main
from benchmarks.measure import Part, Row, markdown, versus
from benchmarks.peers.launch import PeerError, read_records
from benchmarks.refill import steps
from hpsearch.records import Trial
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
    parts = [Part("A part", rows, "How it is done.", lines)]
    text = page.page(parts, 3.2)
    assert [line for line in text.splitlines() if line in map(markdown, rows)] == list(map(markdown, rows))
    assert "### A part\n\nHow it is done." in text
    page.draw(parts, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_curves_of_several_seeds_become_their_median() -> None:
    series = [[(1.0, 0.5), (3.0, 0.9)], [(2.0, 0.7)], [(2.5, 0.6)]]
    values = page.median_at(series, np.array([0.5, 2.2, 2.6, 4.0]))
    assert np.array_equal(values, [np.nan, np.nan, 0.6, 0.7], equal_nan=True)


def test_only_known_parts_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serch"])
    assert "found serch" in capsys.readouterr().err
    assert {"search", "target", "small", "lecture", "fashion", "refill", "memory"} <= set(PARTS)


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


def test_lane_steps_are_whole_mini_batches() -> None:
    assert steps(Trial(0, 0, {"batch_size": 32}), 1078) == 33
    assert steps(Trial(0, 0, {"batch_size": 4096}), 1078) == 1


def test_the_benchmarks_are_there_without_the_peers_packages() -> None:
    code = "import sys, benchmarks.__main__; assert not {'ray', 'smac'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
