"""The views of `list` and `show`."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from rich.cells import cell_len

from hpsearch.records import State, Trial
from hpsearch.reporting.details import list_document, list_view, study_view, trial_view
from hpsearch.reporting.tables import plain_text
from hpsearch.results.frames import count_states, trials_frame
from hpsearch.store import StudySummary
from tests.report_study import DOCUMENT, RECORD, example

DAY = datetime(2026, 1, 2, 3, 4)
COUNTS = {State.COMPLETE: 84, State.FAILED: 3}
STUDIES = [
    StudySummary(
        "digits",
        "multiclass",
        "accuracy",
        {State.COMPLETE: 84, State.FAILED: 3},
        0.983,
        DAY,
        6.1,
        87,
        None,
        True,
    ),
    StudySummary("new", "regression", "rmse", {}, None, DAY, 0.0, 64),
]


def test_the_list_shows_each_study_in_one_line() -> None:
    head, first, second, *stopped = plain_text(list_view(STUDIES, 120), 120).splitlines()
    assert head.split()[:5] == ["study", "state", "trials", "complete", "best"]
    assert first.split()[:9] == ["digits", "complete", "87", "84", "98.3%", "accuracy", "0", "3", "0"]
    assert second.split()[:5] == ["new", "stopped", "0", "0", "–"]
    assert stopped == ["", "new: stopped (0 of 64; resume with  hpsearch run new)"]
    for width in (40, 80):
        text = plain_text(list_view(STUDIES, width), width)
        assert max(map(cell_len, text.splitlines())) <= width


def test_the_list_as_a_document() -> None:
    first, second = list_document(STUDIES)["studies"]
    assert first["counts"] == {"running": 0, "complete": 84, "pruned": 0, "failed": 3}
    assert (first["name"], first["best_value"]) == ("digits", 0.983)
    created = datetime.fromisoformat(second["created"])
    assert created == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_a_study_shows_its_whole_document_as_toml_reads_it() -> None:
    record, trials, _ = example(30)
    text = plain_text(study_view(record, count_states(trials_frame(record, trials))), 200)
    assert "30 trials: " in text
    assert "from studies/digits.toml" in text
    for section in ("space", "train", "search"):
        block = text.split(f"[{section}]\n")[1].split("\n\n")[0]
        lines = (line.split(maxsplit=1) for line in block.splitlines())
        read = tomllib.loads("\n".join(f"{key} = {value}" for key, value in lines))
        assert read == DOCUMENT[section]
    assert record.data_hash in text
    assert "threads" in text


def test_a_study_shows_each_table_of_a_list() -> None:
    record, trials, _ = example(30)
    record = replace(record, document={**record.document, "forbidden": [{"depth": 2}, {"depth": 3}]})
    text = plain_text(study_view(record, count_states(trials_frame(record, trials))), 200)
    assert [block.split()[:2] for block in text.split("[[forbidden]]\n")[1:]] == [
        ["depth", "2"],
        ["depth", "3"],
    ]


def test_a_trial_shows_searched_and_fixed_hyper_parameters_layers_and_curve() -> None:
    record, trials, curves = example()
    text = plain_text(trial_view(record, trials, 26, curves[26]), 100)
    assert "digits #26   complete, rank 1 of 60" in text
    assert "accuracy 98.9%" in text
    words = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    assert float(words["learning_rate"][0]) == trials[26].params["learning_rate"]
    assert words["width"] == ["64", "(fixed)"]
    assert words["nesterov"] == ["false", "(fixed)"]
    layers = [line.split() for line in text.splitlines() if line.startswith(("linear ", "all "))]
    assert [line[2:] for line in layers[:-1]] == [
        ["64", "→", "64", "4,160"],
        ["64", "→", "64", "4,160"],
        ["64", "→", "10", "650"],
    ]
    assert layers[-1] == ["all", "together,", "depth", "3", "8,970"]
    first, last = curves[26][0, 3], curves[26][-1, 3]
    assert words["valid_accuracy"][-2:] == [f"{100 * first:.1f}%", f"{100 * last:.1f}%"]


def test_a_trial_that_failed_at_once_shows_why() -> None:
    params = dict(example(1)[1][0].params) | {"depth": 1}
    failed = [Trial(0, 0, params, State.FAILED, reason="NaN in\x1b epoch 1")]
    text = plain_text(trial_view(replace(RECORD, metric="rmse"), failed, 0, np.empty((0, 4))), 80)
    assert "diverged" in text
    assert "NaN in\\x1b epoch 1" in text
    assert "a linear model, depth 1" in text


def test_a_trial_whose_units_died_says_so_and_what_helps() -> None:
    record, trials, curves = example()
    curve = np.column_stack([curves[26], np.linspace(0, 0.75, len(curves[26])), np.zeros(len(curves[26]))])
    text = " ".join(plain_text(trial_view(record, trials, 26, curve), 100).split())
    assert "dead units: 75% of hidden layer 1 were 0 on the whole validation set" in text
    assert 'activation = "leaky_relu"' in text
    assert "dead units" not in plain_text(trial_view(record, trials, 26, curves[26]), 100)


def test_parameters_are_counted_as_torch_counts_them() -> None:
    """For every kind of layer, by the modules of the plain torch model."""
    from hpsearch.reporting.details import layers_grid
    from hpsearch.train.lanes import initial_state
    from hpsearch.train.solo import build_model
    from tests.problems import make_problem, varied_configurations

    problem = make_problem()
    for configuration in varied_configurations(32, depth=3):
        model = build_model(problem, configuration, initial_state(problem, 0, configuration))
        grid = layers_grid(problem.features, configuration, problem.outputs)
        *rows, together = [int(row[2].replace(",", "")) for row in grid.rows]
        assert sum(rows) == together == sum(parameter.numel() for parameter in model.parameters())
