"""Search settings of the study file: points to try first, forbidden combinations, samplers, budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hpsearch
from hpsearch.errors import StudyFileError
from hpsearch.study.file import load_study, study_from_document
from hpsearch.study.points import Condition, Forbidden
from hpsearch.study.space import Range
from tests.studies import hpsearch as command_line

SMALL = """
[data]
source = "iris"
[space]
learning_rate = { low = 0.01, high = 1.0, log = true }
depth = { low = 1, high = 3 }
optimizer = ["sgd", "adam"]
momentum = { low = 0.0, high = 0.9, step = 0.3 }
batch_size = [8, "all"]
width = 8
[train]
epochs = 3
"""
HIDDEN = '[data]\nsource = "iris"\n[space]\nhidden = [[], [8], [8, 4]]\nlearning_rate = [0.1, 0.2]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "s.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(folder: Path, text: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load_study(write(folder, text))
    return [str(c).replace(f"{folder}/", "") for c in caught.value.complaints]


# -- what is accepted ------------------------------------------------------------------------------------


def test_points_and_forbidden_combinations_are_read_in_their_normal_form(tmp_path: Path) -> None:
    study = load_study(
        write(
            tmp_path,
            SMALL
            + """
[[enqueue]]
batch_size = "all"
depth = 2
learning_rate = 1
[[enqueue]]
momentum = 0.6
[[forbidden]]
optimizer = "adam"
depth = { low = 3 }
[[forbidden]]
batch_size = ["all"]
learning_rate = { low = 0.5, high = 0.7 }
""",
        )
    )
    assert study.enqueue == ({"learning_rate": 1.0, "depth": 2, "batch_size": "all"}, {"momentum": 0.6})
    assert list(study.enqueue[0]) == ["learning_rate", "depth", "batch_size"]  # in the space's order
    assert type(study.enqueue[0]["learning_rate"]) is float
    assert study.forbidden == (
        Forbidden({"optimizer": Condition(("adam",)), "depth": Condition(low=3)}),
        Forbidden({"batch_size": Condition(("all",)), "learning_rate": Condition(low=0.5, high=0.7)}),
    )
    again = study_from_document(json.loads(json.dumps(study.document())))
    assert (again.enqueue, again.forbidden) == (study.enqueue, study.forbidden)


@pytest.mark.parametrize(
    ("params", "allowed"),
    [
        ({"optimizer": "adam", "depth": 3, "batch_size": 8, "learning_rate": 0.1}, False),
        ({"optimizer": "adam", "depth": 2, "batch_size": 8, "learning_rate": 0.1}, True),
        ({"optimizer": "sgd", "depth": 3, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.0}, True),
        ({"optimizer": "sgd", "depth": 1, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.9}, False),
        ({"optimizer": "sgd", "depth": 1, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.6}, True),
        ({"optimizer": "adam", "depth": 1, "batch_size": "all", "learning_rate": 0.5}, False),
        ({"optimizer": "adam", "depth": 1, "batch_size": "all", "learning_rate": 0.7}, False),
        ({"optimizer": "adam", "depth": 1, "batch_size": "all", "learning_rate": 0.71}, True),
    ],
)
def test_a_combination_is_forbidden_where_all_its_conditions_hold(
    tmp_path: Path, params: dict[str, Any], allowed: bool
) -> None:
    text = """
[[forbidden]]
optimizer = "adam"
depth = { low = 3 }
[[forbidden]]
momentum = [0.9, 0.3]
[[forbidden]]
batch_size = "all"
learning_rate = { low = 0.5, high = 0.7 }
"""
    assert load_study(write(tmp_path, SMALL + text)).allows(params) == allowed


def test_forbidden_combinations_may_name_what_is_fixed(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, SMALL + "[[forbidden]]\nwidth = { low = 8 }\ndepth = [2, 3]\n"))
    sound = {"optimizer": "adam", "batch_size": 8, "learning_rate": 0.1}
    assert study.allows({**sound, "depth": 1})
    assert not study.allows({**sound, "depth": 2})


def test_layer_lists_are_points_too(tmp_path: Path) -> None:
    study = load_study(
        write(tmp_path, HIDDEN + "[[enqueue]]\nhidden = [8, 4]\n[[forbidden]]\nhidden = [[], [8]]\n")
    )
    assert study.enqueue == ({"hidden": "8-4"},)
    assert study.allows({"hidden": "8-4", "learning_rate": 0.1})
    assert not study.allows({"hidden": "", "learning_rate": 0.1})


def test_a_study_tries_its_points_first(tmp_path: Path) -> None:
    text = SMALL + (
        "[search]\ntrials = 12\ncohort = 4\n"
        '[[enqueue]]\nlearning_rate = 0.125\ndepth = 1\noptimizer = "adam"\nbatch_size = "all"\n'
        + "[[enqueue]]\nlearning_rate = 0.25\n" * 5
        + '[[forbidden]]\noptimizer = "adam"\ndepth = { low = 2 }\n'
    )
    trials = hpsearch.run(write(tmp_path, text), storage=f"sqlite:///{tmp_path}/x.db", confirm=False).trials
    trials = trials.sort_values("trial").reset_index()
    assert trials.param_learning_rate[:6].tolist() == [0.125, *[0.25] * 5]
    assert 0.25 not in trials.param_learning_rate[6:].tolist()
    first = trials.loc[0]
    assert (first.param_depth, first.param_optimizer, first.param_batch_size) == (1, "adam", "all")
    assert len(trials[(trials.param_optimizer == "adam") & (trials.param_depth > 1)]) == 0


def test_widths_of_layers_are_conditional_on_depth(tmp_path: Path) -> None:
    text = """
[data]
source = "iris"
[space]
learning_rate = 0.1
depth = { low = 1, high = 4 }
layer1.width = { low = 3, high = 9 }
layer2.width = [5, 6]
width = 7
[search]
trials = 24
sampler = "qmc"
stopping = "none"
[train]
epochs = 1
"""
    study = load_study(write(tmp_path, text))
    assert study.space.entries["layer1.width"] == Range(3, 9, integer=True)
    assert study.space.configuration({"depth": 4, "layer1.width": 3, "layer2.width": 5}).layers == (3, 5, 7)
    assert study.space.configuration({"depth": 2, "layer1.width": 9}).layers == (9,)
    assert study.space.configuration({"depth": 1}).layers == ()
    trials = hpsearch.run(tmp_path / "s.toml", storage=f"sqlite:///{tmp_path}/x.db", confirm=False).trials
    assert (trials["param_layer1.width"].notna() == (trials.param_depth > 1)).all()
    assert (trials["param_layer2.width"].notna() == (trials.param_depth > 2)).all()
    assert set(trials.param_depth) == {1, 2, 3, 4}
    assert (trials.state == "complete").all()


def test_several_objectives_are_not_stopped_unless_asked_for(tmp_path: Path) -> None:
    more = '[search]\nsampler = "nsga2"\nobjectives = ["parameters"]\n'
    assert load_study(write(tmp_path, SMALL + more)).search.stopping == "none"
    assert load_study(write(tmp_path, SMALL)).search.stopping == "halving"


# -- what is refused ---------------------------------------------------------------------------------------

FIRST = SMALL.count("\n") + 1
"""The line after SMALL."""

SEARCHED = "learning_rate, depth, optimizer, momentum, batch_size"

BAD_POINTS = [
    ("learning_rat = 0.1", f'.1: enqueue.0.learning_rat: is not searched; did you mean "learning_rate"? (searched: {SEARCHED})'),
    ("width = 8", f".1: enqueue.0.width: is not searched; did you mean \"depth\"? (searched: {SEARCHED})"),
    ("dropout = 0.1", f".1: enqueue.0.dropout: is not searched (searched: {SEARCHED})"),
    ("  learning_rate = 2", ".3: enqueue.0.learning_rate: expected a value of the space, 0.01…1 log; found 2"),
    ("depth = 2.0", ".1: enqueue.0.depth: expected a whole number of at least 1 and at most 64; found 2.0"),
    ("depth = true", ".1: enqueue.0.depth: expected a whole number of at least 1 and at most 64; found true"),
    ("depth = 4", ".1: enqueue.0.depth: expected a value of the space, 1…3; found 4"),
    ("momentum = 0.4", ".1: enqueue.0.momentum: expected a value of the space, 0…0.9 step 0.3; found 0.4"),
    ('optimizer = "adamw"', '.1: enqueue.0.optimizer: expected a value of the space, sgd, adam; found "adamw"'),
    ("batch_size = [8]", '.1: enqueue.0.batch_size: expected "all" or a whole number of at least 1; found [8]'),
    ("depth = { low = 1, high = 2 }", ".1: enqueue.0.depth: expected a whole number of at least 1 and at most 64"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), BAD_POINTS, ids=[line for line, _ in BAD_POINTS])
def test_a_complaint_about_a_point_says_where(tmp_path: Path, line: str, expected: str) -> None:
    found = complaints(tmp_path, f"{SMALL}[[enqueue]]\n{line}\n")
    column, rest = expected[1:].split(":", 1)
    assert len(found) == 1
    assert found[0].startswith(f"s.toml:{FIRST + 1}:{column}:{rest}")


def test_each_point_has_its_own_line(tmp_path: Path) -> None:
    text = SMALL + "[[enqueue]]\ndepth = 1\n[[enqueue]]\ndepth = 9\n[[forbidden]]\ndepht = 1\n[[enqueue]]\n"
    found = complaints(tmp_path, text)
    assert [c.split(": ")[0] for c in found] == [f"s.toml:{FIRST + line}:1" for line in (3, 5, 6)]
    assert [c.split(": ")[1] for c in found] == ["enqueue.1.depth", "forbidden.0.depht", "enqueue.2"]
    assert found[2].endswith(f"an empty point; expected some of {SEARCHED}")


BAD_COMBINATIONS = [
    ("", "forbidden.0: an empty combination would forbid every trial; name hyper-parameters and values"),
    ("depht = 2", 'forbidden.0.depht: unknown hyper-parameter; did you mean "depth"?'),
    ("maxout.pieces = 3", "forbidden.0.maxout.pieces: has no effect on any trial of this study"),
    ("depth = []", "forbidden.0.depth: an empty list; expected a whole number of at least 1 and at most 64, or a list of"),
    ("depth = [1, 2.5]", "forbidden.0.depth: expected a whole number of at least 1 and at most 64; found 2.5"),
    ("depth = {}", "forbidden.0.depth: expected a value, a list of values, or { low = …, high = … } for a number (one"),
    ("depth = { lo = 1 }", "forbidden.0.depth: expected a value, a list of values, or { low = …, high = … } for a number"),
    ('depth = { low = "a" }', 'forbidden.0.depth.low: expected a number; found "a"'),
    ("optimizer = { low = 1 }", "forbidden.0.optimizer: expected a value, a list of values, or { low = …"),
    ('optimizer = "agd"', 'forbidden.0.optimizer: expected one of sgd, adam, adamw; found "agd"'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), BAD_COMBINATIONS, ids=[line for line, _ in BAD_COMBINATIONS])
def test_a_complaint_about_a_forbidden_combination_says_where(
    tmp_path: Path, line: str, expected: str
) -> None:
    found = complaints(tmp_path, f"{SMALL}[[forbidden]]\n{line}\n")
    assert len(found) == 1
    where, text = found[0].split(": ", 1)
    assert where.startswith(f"s.toml:{FIRST + bool(line)}:")
    assert text.startswith(expected)


@pytest.mark.parametrize("point", ["depth = 2", 'depth = 3\noptimizer = "adam"'], ids=["part", "more"])
def test_a_point_that_is_forbidden_is_refused(tmp_path: Path, point: str) -> None:
    found = complaints(
        tmp_path,
        f"{SMALL}[[enqueue]]\n{point}\n[[forbidden]]\nmomentum = 0.3\n[[forbidden]]\ndepth = {{ low = 2 }}\n",
    )
    assert found == [f"s.toml:{FIRST}:1: enqueue.0: is forbidden by the combination of depth"]


def test_a_grid_takes_no_points(tmp_path: Path) -> None:
    """They would come in the place of combinations that were then never tried."""
    text = HIDDEN + '[[enqueue]]\nlearning_rate = 0.2\n[search]\nsampler = "grid"\n'
    assert complaints(tmp_path, text) == [
        "s.toml:6:1: enqueue: a grid tries every combination anyway; leave out one of the two"
    ]
    path = write(tmp_path, HIDDEN + '[train]\nepochs = 1\n[search]\nsampler = "grid"\ntrials = 6\n')
    hpsearch.run(path, storage=f"sqlite:///{tmp_path}/x.db", confirm=False)
    done = command_line("enqueue", "s", "learning_rate=0.2", "--storage", f"sqlite:///{tmp_path}/x.db")
    assert done.returncode == 2
    assert done.stderr == "hpsearch: study s: its sampler, grid, tries every combination anyway\n"


def test_single_brackets_are_refused(tmp_path: Path) -> None:
    for name, example in (("enqueue", "learning_rate = 0.1"), ("forbidden", "depth = 5")):
        assert complaints(tmp_path, f"{SMALL}[{name}]\ndepth = 1\n") == [
            f"s.toml:{FIRST}:1: {name}: expected tables in double brackets with lines such as {example}"
        ]


BAD_SEARCH = [
    ('sampler = "tpee"', 'sampler: expected one of random, qmc, grid, tpe, gp, cmaes, nsga2, nsga3, or an Optuna sampler such as optuna.samplers:TPESampler; found "tpee"; did you mean "tpe"?'),
    ('sampler = "optuna.samplers.TPESampler"', "sampler: expected one of random, qmc"),
    ("sampler = 3", "sampler: expected string; found 3"),
    ("options = { seed = 1 }", "options: apply to a sampler given by its import path; tpe has no options"),
    ('sampler = "a:B"\noptions = { when = 2020-01-01 }', "options: expected numbers, strings, true, false, and lists and tables"),
    ('stopping = "halvin"', 'stopping: expected one of none, halving, hyperband, median, patience; found "halvin"; did you mean "halving"?'),
    ('objectives = ["size"]', 'objectives.0: expected one of parameters, loss; found "size"'),
    ('sampler = "nsga2"\nobjectives = ["loss", "loss"]', "objectives: expected each once; found loss, loss"),
    ('sampler = "nsga2"\nobjectives = ["loss"]\nstopping = "halving"', 'stopping: "halving" judges by the metric alone and would stop trials on the Pareto front'),
    ('sampler = "cmaes"\nobjectives = ["loss"]', "sampler: cmaes handles one objective; with several use nsga2, nsga3, tpe or random"),
    ('sampler = "nsga3"', "sampler: nsga3 needs several objectives; name the others in search.objectives, or use nsga2"),
    ('scientific = ["dept"]', f'scientific: "dept" is not searched; did you mean "depth"? (searched: {SEARCHED})'),
    ('scientific = ["width"]', 'scientific: "width" is not searched'),
    ('scientific = ["learning_rate"]', "scientific: learning_rate is a continuous range; list the values to compare"),
    ('scientific = ["depth", "optimizer"]\ntrials = 5', "scientific: has 6 combinations; search.trials = 5 is fewer"),
    ('scientific = ["depth"]\nsampler = "grid"', "scientific: a grid tries each value equally often anyway"),
    ("epoch_limit = 0", "epoch_limit: expected greater than or equal to 1; found 0"),
    ("give_up = { trials = 0 }", "give_up.trials: expected greater than or equal to 1; found 0"),
    ("give_up = { delta = 0.1 }", "give_up.trials: is missing; expected this many trials in a row"),
    ("give_up = { trials = 9, deta = 0.1 }", 'give_up.deta: unknown key; did you mean "delta"? (known: trials, delta)'),
    ("min_delta = -1.0", "min_delta: expected greater than or equal to 0; found -1.0"),
    ("factor = 1", "factor: expected greater than or equal to 2; found 1"),
    ("min_epochs = 4", "min_epochs: 4 exceeds train.epochs = 3"),
    ('stopping = "patience"\npatience = 2', "patience: 2 never stops a trial of 3 epochs"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), BAD_SEARCH, ids=[lines for lines, _ in BAD_SEARCH])
def test_a_complaint_about_the_search_says_where(tmp_path: Path, lines: str, expected: str) -> None:
    found = complaints(tmp_path, f"{SMALL}[search]\n{lines}\n")
    assert len(found) == 1
    where, text = found[0].split(": search.", 1)
    assert text.startswith(expected)
    key = expected.split(":")[0].split(".")[0]
    line = next(at for at, written in enumerate(lines.split("\n")) if written.startswith(key))
    assert where.startswith(f"s.toml:{FIRST + 1 + line}:")


@pytest.mark.parametrize("name", ["epochs", "max_epochs"])
def test_the_number_of_epochs_is_never_searched(tmp_path: Path, name: str) -> None:
    text = SMALL.replace("width = 8", f"{name} = {{ low = 3, high = 9 }}")
    (found,) = complaints(tmp_path, text)
    assert (
        f"space.{name}: the number of epochs is not searched, because more epochs almost always look" in found
    )
    assert "train.epochs" in found


def test_too_many_scientific_combinations_are_refused(tmp_path: Path) -> None:
    text = SMALL.replace("depth = { low = 1, high = 3 }", "depth = { low = 1, high = 60 }")
    (found,) = complaints(tmp_path, text + '[search]\nscientific = ["depth", "optimizer"]\n')
    assert found.endswith("search.scientific: expected at most 64 combinations; found 120")


def test_a_width_of_a_layer_that_is_never_there_is_refused(tmp_path: Path) -> None:
    (found,) = complaints(tmp_path, SMALL.replace("width = 8", "layer3.width = [4, 8]"))
    assert (
        "space.layer3.width: has no effect here: it applies to depth 4 to 64; found depth 1 or 2 or 3"
        in found
    )
    text = HIDDEN.replace("learning_rate", "layer1.width = [4, 8]\nlearning_rate")
    assert complaints(tmp_path, text) == [
        's.toml:5:1: space.layer1.width: "hidden" already sets the layers; leave out one of the two'
    ]
