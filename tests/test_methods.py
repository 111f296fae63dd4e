"""The registries of samplers and stopping rules: a line each adds one, and all that names them knows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hpsearch
from hpsearch.errors import StudyFileError
from hpsearch.records import State
from hpsearch.study.file import study_from_document
from hpsearch.study.methods import SAMPLERS, STOPPING, Method, Sampler
from tests.studies import stored, url

ROOT = Path(__file__).parent.parent


def document(**search: object) -> dict[str, object]:
    return {
        "study": {"name": "made-up", "seed": 1},
        "data": {"source": "iris"},
        "space": {"batch_size": [16, 32], "activation": ["relu", "tanh"], "width": 4},
        "train": {"epochs": 3},
        "search": {"trials": 6, "cohort": 3, **search},
    }


@pytest.mark.parametrize("method", [*SAMPLERS.values(), *STOPPING.values()], ids=lambda each: each.make)
def test_every_line_leads_to_something_that_is_made_of_a_study(method: Method) -> None:
    assert callable(method.load())
    assert method.about


def test_a_line_adds_a_sampler_and_a_stopping_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "first", Sampler("tests.made_up_methods:First", "the first of all values"))
    monkeypatch.setitem(STOPPING, "odd", Method("tests.made_up_methods:odd_ones_out", "odd numbers stop"))
    study = study_from_document(document(sampler="first", stopping="odd"))
    assert hpsearch.run(study, storage=url(tmp_path / "x.db"), workers=1).complete
    trials, _ = stored(tmp_path / "x.db", "made-up")
    assert [trial[2] for trial in trials] == [{"batch_size": 16, "activation": "relu"}] * 6  # type: ignore[index]
    assert [trial[3] for trial in trials] == [State.COMPLETE, State.PRUNED] * 3  # type: ignore[index]


@pytest.mark.parametrize(("key", "names"), [("sampler", SAMPLERS), ("stopping", STOPPING)])
def test_a_name_that_is_not_there(key: str, names: dict[str, Method]) -> None:
    near = list(names)[2]
    with pytest.raises(StudyFileError, match=rf"expected one of {', '.join(names)}.*did you mean.*{near}"):
        study_from_document(document(**{key: f"{near}x"}))
    for wrong in (3, [near], {"a": 1}):
        with pytest.raises(StudyFileError, match="expected"):
            study_from_document(document(**{key: wrong}))


def test_the_docs_name_all() -> None:
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    for name in (*SAMPLERS, *STOPPING):
        assert f"`{name}`" in text


def test_reading_the_registry_imports_no_library() -> None:
    code = "import sys, hpsearch.study.methods; print('optuna' in sys.modules or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
