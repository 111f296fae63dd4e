"""The checker of the other tests finds what it should: every kind of mistake, made on purpose."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.faults import contract, made_up
from tests.faults.kills import KillLoop, Whole, undisturbed
from tests.faults.shim import Control
from tests.faults.warm import Warm
from tests.store_study import execute

OF_TRIAL_12 = "trial_id = (SELECT trial_id FROM trials WHERE number = 12)"


@pytest.fixture(scope="module")
def written(storing: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that nobody disturbed, with what was told of it."""
    folder = tmp_path_factory.mktemp("whole")
    child = storing.start("tests.faults.made_up:live", folder / "study.db", folder / "told")
    assert child.wait() == 0, child.err
    return folder


@pytest.fixture
def whole(storing: Warm, control: Control, in_memory: Path) -> Whole:
    """The same, with what it took."""
    arguments = (in_memory / "study.db", in_memory / "told")
    live = partial(storing.start, "tests.faults.made_up:live", *arguments, control=control.path)
    return undisturbed(arguments[0], control, live)


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    """Its database, to be edited."""
    return Path(shutil.copy(written / "study.db", tmp_path))


@pytest.mark.parametrize(
    ("bug", "word"),
    [
        ("dropped", "trial 12 was finished as"),
        ("doubled", "trial 13 is trial 12 once more"),
        ("told early", "trial 12 was finished as"),
        ("claim kept", "still claimed"),
        ("one too many", f"{made_up.TRIALS + 1} trials instead of {made_up.TRIALS}"),
        ("seconds lost", "are counted"),
        ("another end", "not as undisturbed"),
    ],
)
def test_a_mistake_of_the_process_that_stores_is_found(
    storing: Warm, control: Control, in_memory: Path, whole: Whole, bug: str, word: str
) -> None:
    tally = KillLoop(storing, control, in_memory, whole, seed=0, bug=bug).run(kills=0)
    assert any(word in failure for failure in tally.failures), tally.failures


def test_a_mistake_is_found_among_kills(
    storing: Warm, control: Control, in_memory: Path, whole: Whole
) -> None:
    loop = KillLoop(storing, control, in_memory, whole, seed=1, bug="told early")
    assert any("trial 12 was finished as" in failure for failure in loop.run(kills=400).failures)


def test_a_study_without_a_mistake_passes(
    storing: Warm, control: Control, in_memory: Path, whole: Whole
) -> None:
    assert KillLoop(storing, control, in_memory, whole, seed=0).run(kills=3).failures == []


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (f"UPDATE trials SET state = 'RUNNING' WHERE {OF_TRIAL_12}", "the state"),
        (
            f"UPDATE trial_params SET param_value = 0.5 WHERE {OF_TRIAL_12} AND param_name LIKE 'l%'",
            "the params",
        ),
        (f"DELETE FROM trial_params WHERE {OF_TRIAL_12} AND param_name = 'depth'", "the params"),
        (f"UPDATE trial_values SET value = 0.5 WHERE {OF_TRIAL_12}", "the value"),
        (f"DELETE FROM trial_values WHERE {OF_TRIAL_12}", "the value"),
        (
            f"UPDATE trial_intermediate_values SET intermediate_value = 0.5 WHERE {OF_TRIAL_12} AND step = 2",
            "at epoch 2",
        ),
        (f"DELETE FROM trial_intermediate_values WHERE {OF_TRIAL_12} AND step = 9", "last epoch"),
        (f"DELETE FROM trials WHERE {OF_TRIAL_12}", "other trials"),
        (
            "INSERT INTO trials (number, study_id, state) SELECT number, study_id, state FROM trials "
            "WHERE number = 12",
            "other trials",
        ),
        ("UPDATE hpsearch_trials SET epochs = 8 WHERE number = 12", "refused to be read"),
        ("UPDATE hpsearch_trials SET value = '0.5' WHERE number = 12", "refused to be read"),
        ("DELETE FROM hpsearch_trials WHERE number = 12", "refused to be read"),
        ("DELETE FROM hpsearch_curves WHERE number = 12 AND first_epoch = 4", "refused to be read"),
        ("DELETE FROM hpsearch_studies", "the study is gone"),
    ],
)
def test_an_edited_database_is_found(copied: Path, statement: str, word: str) -> None:
    assert contract.violations(copied, made_up.NAME, planned=made_up.TRIALS) == []
    execute(copied, statement)
    found = contract.violations(copied, made_up.NAME, planned=made_up.TRIALS)
    assert any(word in text for text in found), found


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"asked": "otherwise"}, "was asked as"),
        ({"epochs": 12}, "12 epochs were told"),
        ({"curve": "0" * 16}, "not those that were told"),
        ({"outcome": "another"}, "was finished as"),
    ],
)
def test_what_was_told_otherwise_is_found(written: Path, changed: dict[str, object], word: str) -> None:
    told = contract.told(written / "told")
    told[12] = replace(told[12], **changed)  # type: ignore[arg-type]
    found = contract.violations(written / "study.db", made_up.NAME, told)
    assert any(word in text for text in found), found


def test_a_trial_that_was_told_and_is_not_there_is_found(written: Path) -> None:
    told = contract.told(written / "told")
    told[made_up.TRIALS] = told[12]
    found = contract.violations(written / "study.db", made_up.NAME, told)
    assert found == [f"trial {made_up.TRIALS} was told and is gone"]
    assert contract.violations(written / "none.db", made_up.NAME, told) == ["the study is gone"]
