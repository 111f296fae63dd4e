"""Reports of 10,000 trials of 100 epochs, against the same from Optuna's data frame; confirming; the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import optuna
import pandas as pd

from benchmarks.digits import digits
from benchmarks.measure import NONE, Part, Row, seconds, versus
from benchmarks.scale import commit
from hpsearch.api import confirm, read_report
from hpsearch.reporting.json_csv import csv_text, json_text, report_document, report_rows
from hpsearch.reporting.tables import plain_text, report_view
from hpsearch.results.frames import Report
from hpsearch.running.prepare import prepare
from hpsearch.running.resume import open_study
from hpsearch.store import Database
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

TRIALS, EPOCHS = 10_000, 100
_AT_ONCE, _REPEATS, _WIDTH = 2_000, 3, 120

HOW = f"""\
A digits study of {TRIALS:,} trials of {EPOCHS} made-up epochs, in an SQLite file. Everything is imported
before, and both sides run in this process: reading the study from the file, ranking it and writing the text;
the median of {_REPEATS}. Against Optuna, once: `optuna.load_study(…).trials_dataframe()`, sorted, with the
intermediate values of every trial, of which Optuna's tables have up to 20 where hpsearch's own have all
{EPOCHS}, as CSV; our table and JSON also have importances, interactions and advice. Confirming: the
best 8 trials of a real digits study of 256 trials on 5 fresh seeds, with reading and storing."""


def reports() -> Part:
    """Rows for the formats of a report, the page, and confirming."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'reports.db')}"
        study = digits(0, f"search.trials={TRIALS}", f"train.epochs={EPOCHS}")
        _fill(study, url)
        theirs = seconds(lambda: _optunas(study.name, url))
        rows = [
            versus(
                f"`report --format {name}`, {TRIALS:,} × {EPOCHS}, seconds",
                f"{(ours := _middle(make, study.name, url)):.2f}",
                "the same from Optuna's data frame",
                f"{theirs:.1f}",
                theirs / ours,
                20,
                ".0f",
            )
            for name, make in (("table", _table), ("json", _json), ("csv", _csv))
        ]
        rows.append(_page(study.name, url, Path(folder)))
        return Part(f"Reports of {TRIALS:,} trials", [*rows, _confirming(Path(folder))], HOW)


def _fill(study: Study, url: str) -> None:
    study, dataset = prepare(study)
    distributions = optuna_distributions(study.space)
    with Database.open(url, create=True) as database:
        store, _ = open_study(database, study, dataset, {})
        store.begin({"made up": True})
        for _ in range(TRIALS // _AT_ONCE):
            commit(store, distributions, _AT_ONCE, EPOCHS)
        store.end()


def _middle(make: Callable[[str, str], object], study: str, url: str) -> float:
    make(study, url)
    return median(seconds(lambda: make(study, url)) for _ in range(_REPEATS))


def _read(study: str, url: str, curves: bool) -> Report:
    return read_report(study, storage=url, curves=curves)[0]


def _table(study: str, url: str) -> str:
    return plain_text(report_view(_read(study, url, curves=True), _WIDTH), _WIDTH)


def _json(study: str, url: str) -> str:
    return json_text(report_document(_read(study, url, curves=False)))


def _csv(study: str, url: str) -> str:
    return csv_text(report_rows(_read(study, url, curves=False)))


def _optunas(study: str, url: str) -> str:
    """The ranked trials with their curves, from what Optuna reads of its own tables."""
    loaded = optuna.load_study(study_name=study, storage=url)
    frame = loaded.trials_dataframe().sort_values("value_accuracy", ascending=False, kind="stable")
    curves = pd.DataFrame({trial.number: trial.intermediate_values for trial in loaded.trials}).T
    return str(frame.join(curves, on="number").to_csv(index=False))


def _page(study: str, url: str, folder: Path) -> Row:
    from hpsearch.reporting.page import page_html

    def make() -> str:
        return page_html(_read(study, url, curves=True))

    text = make()
    took = median(seconds(make) for _ in range(_REPEATS))
    size = len(text.encode()) / 1e6
    return Row(
        f"`report --format html`, {TRIALS:,} × {EPOCHS}, seconds",
        f"{took:.2f}",
        "size, MB",
        f"{size:.2f}",
        NONE,
        "≤ 5 s, 5 MB",
    )


def _confirming(folder: Path) -> Row:
    from hpsearch.api import run

    study = digits(0, "search.trials=256")
    took = []
    for number in range(_REPEATS):
        url = f"sqlite:///{folder / f'confirm-{number}.db'}"
        run(study, storage=url, confirm=False)
        took.append(seconds(lambda url=url: confirm(study.name, storage=url)))  # type: ignore[misc]
    return Row("confirming 8 × 5 on digits, seconds", f"{median(took):.2f}", wanted="≤ 3 s")
