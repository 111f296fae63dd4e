"""The answer on one screen: what a run shows when it is done."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from hpsearch.records import State, Trial
from hpsearch.reporting import answer
from hpsearch.reporting.page import page_html
from hpsearch.reporting.tables import answer_view, plain_text
from hpsearch.results.advice import Advice
from hpsearch.results.frames import Report
from tests.page_study import full_report
from tests.report_study import example
from tests.studies import finished_report, hpsearch, url, write_study


def rows(report: Report) -> dict[str, str]:
    return dict(answer.found(report))


def test_the_winner_is_named_with_its_hyper_parameters_and_what_it_ties_with() -> None:
    report = full_report()
    found, c = rows(report), report.confirmation
    assert c is not None
    assert c.best.estimate is not None
    assert found["best"].startswith(
        f"trial {c.best.trial}: test accuracy {100 * c.best.estimate.mean:.1f}% ("
    )
    for name, value in c.best.params.items():
        assert f"{name} " in found["with"], (name, value)
    assert len(c.tied) == 1
    assert f"better than {len(c.finalists) - 1} other finalists" in found["best"]
    equal = replace(c, finalists=tuple(replace(each, scores=c.best.scores) for each in c.finalists))
    tied = rows(replace(report, confirmation=equal))
    assert "better than" not in tied["best"]
    assert tied["ties"].startswith("trials ")
    assert str(equal.tied[1].trial) in tied["ties"]
    assert "against" in found["answer"].lower()


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_a_screen(width: int) -> None:
    text = plain_text(answer_view(full_report(), width), width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert len(text.splitlines()) <= (18 if width == 80 else 14)


def test_sentences_of_the_page_end_with_one_full_stop_and_advice_names_what_it_is_about() -> None:
    """The comparison's conclusion is a sentence already."""
    report = full_report()
    found = rows(report)
    assert found["answer"].endswith(".")
    page = page_html(report)
    assert ".." not in "".join(re.findall(r"<p><b>\w+</b> (.*?)</p>", page))
    without = Advice("edge", "x" * 200, None, 0.9, "momentum")
    ((_, said),) = answer.advised(report, [without])
    assert said == "edge: momentum; why: hpsearch report digits --section advice"


def test_without_a_confirmation_luck_is_named() -> None:
    report = finished_report(*example(40))
    found = rows(report)
    assert "so luck flatters it; not confirmed on fresh seeds" in found["best"]
    assert "hpsearch confirm digits" in plain_text(answer_view(report, 120), 120)


def test_where_nothing_varies_the_spread_of_seeds_is_the_answer() -> None:
    record, _, _ = example(1)
    document = record.document | {"space": {"learning_rate": 0.1}}
    trials = [
        Trial(n, 0, {}, State.COMPLETE, epochs=1, value=value, loss=1.0, best_epoch=1)
        for n, value in enumerate((0.90, 0.92, 0.94))
    ]
    found = rows(finished_report(replace(record, document=document), trials, {}))
    assert found["spread"] == (
        "3 trials that differ only in their initial weights: validation accuracy 92.0% on average, standard "
        f"deviation {100 * np.std([0.90, 0.92, 0.94], ddof=1):.2f} points, from 90.0% to 94.0%"
    )


def test_a_run_ends_with_the_answer_and_the_report_has_the_rest(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=12)
    shown = hpsearch("run", path, "--storage", url(tmp_path / "x.db"))
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.strip()][:2] == ["best", "with"]
    assert any(line.split()[:1] == ["next"] for line in lines)
    assert "rank" not in shown.stdout
    again = hpsearch("report", path, "--storage", url(tmp_path / "x.db"))
    assert "confirmed:" in again.stdout
    wrong = hpsearch("report", path, "--storage", url(tmp_path / "x.db"), "--section", "curve")
    assert wrong.returncode == 2
    assert 'did you mean "curves"?' in wrong.stderr
