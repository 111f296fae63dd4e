"""What a user calls a key: other names, sections left out, keys of other sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study.file import load_study
from hpsearch.study.keys import places_of
from tests.studies import hpsearch as command
from tests.studies import url, write_study


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("space.lr=0.1", 'space.lr: unknown hyper-parameter; did you mean "learning_rate"?'),
        ("space.bs=8", 'space.bs: unknown hyper-parameter; did you mean "batch_size"?'),
        ("space.wd=0.1", 'space.wd: unknown hyper-parameter; did you mean "weight_decay"?'),
        ("space.units=8", 'space.units: unknown hyper-parameter; did you mean "width"?'),
        ("space.n_trials=8", 'space.n_trials: unknown hyper-parameter; did you mean "search.trials"?'),
        ("search.epochs=8", 'search.epochs: unknown key; did you mean "train.epochs"?'),
        ("train.lr=8", 'train.lr: unknown key; did you mean "space.learning_rate"?'),
        ("search.pruner=8", 'search.pruner: unknown key; did you mean "stopping"?'),
        ("lr=0.1", '--set lr=0.1: expected SECTION.KEY=VALUE such as space.width=32; did you mean "space.'),
        ("LR=0.1", 'did you mean "space.learning_rate"?'),
        ("learnin_rate=0.1", 'did you mean "space.learning_rate"?'),
        ("serch.trials=1", 'did you mean "search.trials"?'),
        ("qqq=1", "(SECTION is one of study, data, train, search, "),
        ("learning_rate", "--set learning_rate: expected SECTION.KEY=VALUE"),
    ],
)
def test_another_name_for_a_key_is_told_the_right_one(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(StudyFileError) as raised:
        load_study(write_study(tmp_path), [written])
    assert said in str(raised.value)


def test_study_files_are_told_the_same(tmp_path: Path) -> None:
    path = write_study(tmp_path, more="lr = 1\n[[enqueue]]\nlr = 0.1\n[[forbidden]]\nbs = 8\n")
    with pytest.raises(StudyFileError) as raised:
        load_study(path)
    assert 'search.lr: unknown key; did you mean "space.learning_rate"?' in str(raised.value)
    assert 'enqueue.0.lr: is not searched; did you mean "learning_rate"?' in str(raised.value)
    assert 'forbidden.0.bs: unknown hyper-parameter; did you mean "batch_size"?' in str(raised.value)


def test_the_section_may_be_left_out_where_one_has_the_key(tmp_path: Path) -> None:
    overrides = ["learning_rate=0.1", "epochs = 3", "valid=0.3", "seed=7"]
    study = load_study(write_study(tmp_path), overrides)
    assert study.space.fixed["learning_rate"] == 0.1
    assert (study.train.epochs, study.data.split.valid, study.seed) == (3, 0.3, 7)
    optimizers = ['optimizer=["sgd", "adam"]', "adam.learning_rate=0.02"]
    study = load_study(write_study(tmp_path), optimizers)
    assert study.space.fixed["adam.learning_rate"] == 0.02


def test_the_command_line_says_what_it_set(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=2)
    words = ("run", path, "--dry-run", "--storage", url(tmp_path / "x.db"))
    done = command(*words, "--set", "width=8", "--set", "space.depth=2")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("set ")] == [
        "set      space.width = 8"
    ]
    assert "width = 8" in done.stdout
    refused = command(*words, "--set", "bs=8")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert 'did you mean "space.batch_size"?' in refused.stderr


def test_a_key_of_a_section_comes_before_one_of_a_table_in_it() -> None:
    assert places_of("trials") == ["search.trials"]  # and search.give_up.trials
    assert places_of("delta") == ["search.give_up.delta"]
    assert places_of("nonsense") == []
