"""The public functions: they do what the commands do, and docs/python.md tells the truth of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hpsearch
from hpsearch.errors import HpsearchError, NothingToShowError
from tests.studies import hpsearch as command
from tests.studies import url, write_study

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, hpsearch.Result]:
    folder = tmp_path_factory.mktemp("api")
    path, storage = write_study(folder, trials=24), url(folder / "x.db")
    return path, storage, hpsearch.run(path, storage=storage)


def test_the_page_about_python_works(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "<hpsearch.Result xor: 30 complete" in done.stdout
    assert "True" in done.stdout


def test_every_public_function_is_listed_and_on_the_page() -> None:
    functions = {name for name in hpsearch.__all__ if name[0].islower()} - {"load_study", "load_model"}
    assert set(hpsearch.__all__) <= set(dir(hpsearch))
    for name in functions:
        assert f"| `{name}(" in PAGE, name
        assert getattr(hpsearch, name).__doc__


def test_run_does_what_the_command_does(ran: tuple[Path, str, hpsearch.Result], tmp_path: Path) -> None:
    """The same trials, curves and confirmation, and the command finds nothing left to do."""
    path, storage, result = ran
    other = url(tmp_path / "y.db")
    assert command("run", path, "--storage", other).returncode == 0
    again = hpsearch.report("small", storage=other)
    assert again.trials.equals(result.trials)
    assert again.curves.equals(result.curves)
    assert result.confirmed is not None
    assert again.confirmed is not None
    assert again.confirmed.equals(result.confirmed)
    done = command("run", path, "--storage", storage)
    assert "nothing to train" in done.stderr


def test_a_result_has_its_best_trial_at_hand(ran: tuple[Path, str, hpsearch.Result]) -> None:
    _, storage, result = ran
    assert result.complete
    assert result.confirmed is not None
    assert result.best_trial == result.confirmed["trial"].iloc[0]
    row = result.trials[result.trials["trial"] == result.best_trial].iloc[0]
    assert result.best_params is not None
    for name, value in result.best_params.items():
        assert row[f"param_{name}"] == value
    assert {"curves", "confirmed"} <= set(result.charts)
    assert " confirmed: all 3 complete trials" in result.text()
    assert result.document()["study"]["name"] == "small"
    assert "<html" in result.html()
    assert hpsearch.report("small", storage=storage).text() == result.text()


def test_a_run_that_ends_early_says_so(tmp_path: Path) -> None:
    path, storage = write_study(tmp_path, trials=24), url(tmp_path / "x.db")
    first = hpsearch.run(path, storage=storage, time_limit=1e-9)
    assert not first.complete
    assert first.confirmed is None
    whole = hpsearch.run(path, storage=storage)
    assert whole.complete
    assert whole.confirmed is not None


def test_a_stop_before_anything_is_finished_is_a_result(tmp_path: Path) -> None:
    class Impatient(hpsearch.Watch):
        def begins(self, beginning) -> None:  # type: ignore[no-untyped-def]
            beginning.stop.ask()

    path = write_study(tmp_path, trials=24)
    result = hpsearch.run(path, storage=url(tmp_path / "x.db"), watch=Impatient())
    assert result.stopped
    assert not len(result.trials)
    assert result.best_trial is None
    assert result.best_params is None
    assert result.text() == "small: no trial is finished\n"
    with pytest.raises(NothingToShowError):
        hpsearch.report("small", storage=url(tmp_path / "x.db"))


def test_enqueued_points_are_tried_next(ran: tuple[Path, str, hpsearch.Result], tmp_path: Path) -> None:
    path, _, _ = ran
    storage = url(tmp_path / "x.db")
    hpsearch.run(path, storage=storage, confirm=False)
    queue = hpsearch.enqueue("small", {"learning_rate": 0.5}, {"momentum": 0.25}, storage=storage)
    assert [queued.params for queued in queue.waiting] == [{"learning_rate": 0.5}, {"momentum": 0.25}]
    assert (queue.begun, queue.total) == (24, 24)
    more = hpsearch.run(hpsearch.load_study(path, ["search.trials=26"]), storage=storage, confirm=False)
    tried = more.trials.set_index("trial").loc[[24, 25]]
    assert tried["param_learning_rate"].iloc[0] == 0.5
    assert tried["param_momentum"].iloc[1] == 0.25


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: hpsearch.run("nothing", storage=s), "no such study file"),
        (lambda s: hpsearch.run("nothing.toml", storage=s), "hpsearch init"),
        (lambda s: hpsearch.report("nothing", storage=s), "nothing"),
        (lambda s: hpsearch.curves("small", [99], storage=s), "found --trial 99"),
        (lambda s: hpsearch.enqueue("small", {"momentun": 1}, storage=s), 'did you mean "momentum"?'),
        (lambda s: hpsearch.export("small", trial=99, storage=s), "found --trial 99"),
        (lambda s: hpsearch.predict("nowhere", "iris"), "cannot be read"),
    ],
)
def test_mistakes_are_told_in_words(ran: tuple[Path, str, hpsearch.Result], call: object, says: str) -> None:
    with pytest.raises(HpsearchError) as told:
        call(ran[1])  # type: ignore[operator]
    assert says in str(told.value)
