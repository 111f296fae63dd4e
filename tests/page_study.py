"""Made-up reports for tests of pages and charts: confirmed and compared, large, hostile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.records import Curves, Run, State, StudyRecord, Trials, time_of
from hpsearch.results.confirmation import Confirmation, Finalist, Use
from hpsearch.results.contrast import Arm, Contrast
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons, lessons
from tests.report_study import DOCUMENT, EPOCHS, RECORD, example, made_up_curve
from tests.studies import finished_report

SEEDS = 5
CORPUS = (
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "' onmouseover='window.ran = 1",
    "{{constructor.constructor('window.ran = 1')()}}",
    "${window.ran = 1}",
    "datum['x'] + (window.ran = 1)",
    "javascript:window.ran=1",
    '=HYPERLINK("http://example.org")',
    r"\input{/etc/passwd}$x_1^2$%&#",
    "\x1b]0;title\x07\u202e\u2028",
    "</style><style>*{display:none}",
    "<!--",
    "var(--c0)",
)
"""What a browser, a template, Vega, a spreadsheet, LaTeX or a terminal would obey."""


def full_report() -> Report:
    """With confirmation, comparison, notes and a run."""
    report = finished_report(*example())
    return replace(
        report,
        confirmation=confirmation(report),
        comparison=comparison(),
        notes=("the comparison is of the 119 trials so far, of 120",),
        runs=(Run(1, {"python": "3.11.9", "device": "cpu"}, time_of(0)),),
    )


def confirmation(report: Report, finalists: int = 6) -> Confirmation:
    """Of the best trials, on seeds of which the third finalist diverged with one."""
    random = np.random.default_rng(3)
    rows = report.ranked.head(finalists).to_dict("records")
    found = []
    for place, row in enumerate(rows):
        params = {name: row[f"param_{name}"] for name in report.parameters}
        curves = tuple(made_up_curve(params, random)[: 20 + place] for _ in range(SEEDS))
        scores = random.normal(0.95 - 0.01 * place, 0.004, SEEDS)
        if place == 2:
            scores[1] = np.nan
        found.append(
            Finalist(row["trial"], 20 + place, scores, 1 - scores, curves, params, selected=row["value"])
        )
    uses = (Use("confirmation", finalists, SEEDS),)
    values = tuple(report.ranked["value"].tolist())
    return Confirmation("accuracy", True, "test", 360, SEEDS, False, len(values), tuple(found), uses, values)


def comparison(names: tuple[str, ...] = ("relu", "tanh", "sigmoid")) -> Contrast:
    """Of activations, the last one worse."""
    random = np.random.default_rng(4)
    arms = tuple(
        Arm(
            place,
            12,
            random.normal(0.95 - 0.1 * (place == len(names) - 1), 0.005, 12),
            name=name,
            trials=30,
            complete=20,
        )
        for place, name in enumerate(names)
    )
    return Contrast("activation", "accuracy", True, arms, 0, 12, "test", 360)


def hostile_report() -> tuple[Report, Lessons]:
    """Every text that comes from data or study files is of the corpus, and some that could not be."""
    record, trials, curves = example(len(CORPUS) + 26)
    everything = " ".join(CORPUS)
    document: dict[str, Any] = {**DOCUMENT, "data": {**DOCUMENT["data"], "source": everything}}
    record = replace(
        record,
        name=everything,
        document=document,
        origin=f"{everything}.toml",
        data_summary={
            "name": everything,
            "notes": list(CORPUS),
            "classes": list(CORPUS),
            "rows": {"train": 60},
            "features": 4,
        },
    )
    trials = [
        replace(
            trial,
            params={**trial.params, "activation": CORPUS[at % len(CORPUS)]},
            reason=CORPUS[at % len(CORPUS)] if trial.state is State.FAILED else trial.reason,
        )
        for at, trial in enumerate(trials)
    ]
    report = finished_report(record, trials, curves)
    hostile = replace(
        report,
        confirmation=confirmation(report, 4),
        comparison=comparison(CORPUS),
        notes=CORPUS,
        runs=(Run(1, {"device": everything, everything: everything}, time_of(0)),),
    )
    found = lessons(finished_report(*example(120)))
    isolations = tuple(
        replace(
            each,
            name=CORPUS[place],
            buckets=each.buckets.assign(bucket=CORPUS[: len(each.buckets)]),
        )
        for place, each in enumerate(found.isolations)
    )
    importances = tuple(
        replace(each, name=CORPUS[place], direction=everything)
        for place, each in enumerate(found.importances)
    )
    return hostile, replace(found, isolations=isolations, importances=importances)


def large_report(count: int = 10_000, epochs: int = 100) -> Report:
    """Curves of many trials and epochs; one in a hundred diverged."""
    random = np.random.default_rng(5)
    rate, momentum = 10 ** random.uniform(-4, 0, count), random.uniform(0, 0.95, count)
    depth, batch = random.integers(1, 6, count), random.choice([16, 32, 64, 128, 256], count)
    activation = random.choice(["relu", "leaky_relu", "tanh", "sigmoid"], count)
    decay = 10 ** random.uniform(-6, -2, count)
    failed = random.random(count) < 0.01
    top = (
        0.98 - 0.02 * np.abs(np.log10(rate) + 1.5) - 0.01 * np.abs(depth - 3) + random.normal(0, 0.002, count)
    )
    epoch = np.arange(1, epochs + 1)
    accuracy = top[:, None] * (1 - 0.8 * np.exp(-epoch / 8)) + random.normal(0, 0.002, (count, epochs))
    loss = 2.4 * (1.02 - accuracy)
    main = np.stack([0.8 * loss, accuracy + 0.01, loss, accuracy], axis=2).reshape(-1, 4)
    numbers, lengths = np.arange(count), np.full(count, epochs)
    curves = Curves(numbers, lengths, np.full(count, 4), main, np.empty(0))
    best = accuracy.argmax(axis=1)
    each = np.arange(count)
    trials = Trials(
        number=numbers.tolist(),
        cohort=(numbers // 64).tolist(),
        params=[
            {
                "learning_rate": float(rate[n]),
                "momentum": float(momentum[n]),
                "batch_size": int(batch[n]),
                "depth": int(depth[n]),
                "activation": str(activation[n]),
                "weight_decay": float(decay[n]),
            }
            for n in range(count)
        ],
        state=[State.FAILED if lost else State.COMPLETE for lost in failed],
        epochs=lengths.tolist(),
        value=[None if lost else float(v) for v, lost in zip(accuracy[each, best], failed, strict=True)],
        loss=[None if lost else float(v) for v, lost in zip(loss[each, best], failed, strict=True)],
        best_epoch=[None if lost else int(at) + 1 for at, lost in zip(best, failed, strict=True)],
        reason=["diverged: training loss NaN" if lost else None for lost in failed],
        started=[None] * count,
        finished=[None] * count,
        others=[()] * count,
        weights=[None] * count,
    )
    return finished_report(large_record(epochs), trials, curves)


def large_record(epochs: int) -> StudyRecord:
    """Of the made-up study with more epochs."""
    assert epochs >= EPOCHS
    return replace(RECORD, document={**DOCUMENT, "train": {**DOCUMENT["train"], "epochs": epochs}})
