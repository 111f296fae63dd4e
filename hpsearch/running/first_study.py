"""A first study file for new data, following the practical guide: what to fix, what to tune, and why."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import Complaint, HpsearchError, nearest, without_secrets
from hpsearch.records import Task
from hpsearch.study.effort import Effort, searched
from hpsearch.study.file import FITTING_LOSSES, FITTING_METRICS, name_from, study_from_document
from hpsearch.study.schema import DataSection
from hpsearch.study.starter import Line, Starter, template
from hpsearch.text import plain, toml_key, toml_value

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.data.describe import DataFacts
    from hpsearch.running.forecast import Seconds

_BATCHES = ((500, 16), (5_000, 32), (20_000, 64))
"""(rows below which, rows in a mini-batch); 128 for more."""

_UNBALANCED = 0.7
"""Share of the largest class above which accuracy flatters a model that always predicts it."""

_TUNED = {
    Effort.QUICK: "the learning rate is tuned, since nothing matters as much.",
    Effort.GOOD: "what is cheap to train and may pay is tuned (--effort good).",
    Effort.BEST: "what may pay is tuned, and trained for longer (--effort best).",
}

_KINDS = {
    Task.BINARY: "two classes: one output o, BCE with logits; o > 0 is the second class",
    Task.MULTICLASS: "several classes: one output each, cross entropy with logits; the largest wins",
    Task.REGRESSION: "continuous output: squared error; l1 is less sensitive to outliers",
    Task.POSITIVE_REGRESSION: "continuous, never negative: softplus(o), squared error; poisson for counts",
}


@dataclass(frozen=True)
class Cost:
    """What the study of an effort would take on this machine; seconds: None where a probe would take long."""

    effort: Effort
    trials: int
    seconds: Seconds | None


@dataclass(frozen=True)
class FirstStudy:
    """A study file that is written.

    effort: that of the file, and costs of all efforts, if it suits data that were named; otherwise, it is to
    be edited, and effort is None.
    """

    path: Path
    effort: Effort | None = None
    costs: Sequence[Cost] = ()


def first_study(
    name: str,
    target: str | None,
    task: str | None,
    out: Path | None,
    force: bool,
    effort: str | None,
    watch: Callable[[int, int], None],
) -> FirstStudy:
    """Write a commented study file; the arguments are those of `api.init`."""
    if without_secrets(name) != name:  # a file of this name would show it for good
        raise HpsearchError(f"{name}: expected a study's name or its data; found a database's password")
    of_data, wanted = _is_data(name), _effort(effort)
    if not of_data and _is_missing_data(name):
        from hpsearch.data.containers import no_such_file

        raise HpsearchError(no_such_file(Path(name)))
    if of_data:
        path = out or Path(f"{name_from(Path(os.path.abspath(name)).name.split('.')[0])}.toml")
        texts, dataset = _suited(name, target, task, path, watch)
        text = texts[wanted]
    elif target is not None or task is not None or effort is not None:
        raise HpsearchError(
            f'--target, --task and --effort are for data; there is no file, folder or source "{name}"'
        )
    else:
        path = out or Path(name if name.endswith(".toml") else f"{name}.toml")
        text = template(str(path), path.stem)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise HpsearchError(f"{path}: exists already; choose another name, or --force to overwrite") from None
    except OSError as error:
        raise HpsearchError(f"{path}: cannot be written: {error.strerror}") from None
    if not of_data:
        return FirstStudy(path)
    return FirstStudy(path, wanted, [_cost(each, other, dataset) for each, other in texts.items()])


def _effort(word: str | None) -> Effort:
    if word is None:
        return Effort.QUICK
    known = [str(effort) for effort in Effort]
    if word not in known:
        raise HpsearchError(
            f'--effort: expected one of {", ".join(known)}; found "{word}"{nearest(word, known)}'
        )
    return Effort(word)


def _is_data(name: str) -> bool:
    if name.endswith(".toml"):
        return False
    if os.path.exists(name) or os.path.dirname(name):
        return True
    if name == "study" or not name.replace("_", "").isalpha():
        return False
    from hpsearch.data.builtin import BUILT_IN  # takes scikit-learn's import

    return name in BUILT_IN


def _is_missing_data(name: str) -> bool:
    """Whether a name that is none of data ends as one."""
    if "." not in name or name.endswith(".toml"):
        return False
    from hpsearch.data.glance import is_data_name  # takes pyarrow's import

    return is_data_name(name)


def _suited(
    source: str,
    target: str | None,
    task: str | None,
    path: Path,
    watch: Callable[[int, int], None],
) -> tuple[dict[Effort, str], Dataset]:
    """A study of the data at `source` for each effort, and the data, which are read for it."""
    from hpsearch.data import load_dataset
    from hpsearch.data.describe import describe
    from hpsearch.data.glance import glance

    def complain(key: tuple[str, ...], text: str) -> Complaint:
        asked = f"--{key[-1]}" if key[-1] in ("target", "task") else key[-1]
        if asked == "--target" and target is None and (seen := glance(source)).target:
            text += f'; "{seen.target}" is likely:  {seen.command}'
        return Complaint(f"hpsearch init {source}", asked, text)

    tasks = [str(known) for known in Task]
    if task is not None and task not in tasks:
        near = nearest(task, tasks)
        raise HpsearchError(f'--task: expected one of {", ".join(tasks)}; found "{task}"{near}')
    data = DataSection.model_validate({"source": source, "target": target, "task": task})
    dataset = load_dataset(data, 0, None, complain, watch)
    shown = source
    if os.path.exists(source) and not os.path.isabs(source):
        shown = Path(os.path.relpath(source, path.parent)).as_posix()
    facts = describe(data, None, complain) if dataset.columns is not None else None
    lines = column_lines(facts) if facts else []
    rows = [*_data_lines(dataset, shown, target, task), *lines]
    return {effort: _study_text(dataset, path.stem, rows, effort) for effort in Effort}, dataset


def _cost(effort: Effort, text: str, dataset: Dataset) -> Cost:
    """By a probe of the first trials: hundredths of a second, with the data in memory."""
    from hpsearch.running.estimate import estimate
    from hpsearch.running.machine import Machine

    study = study_from_document(tomllib.loads(text)).resolve(dataset.task)
    left = estimate(study, dataset, (), 0, Machine.of("auto", None))
    return Cost(effort, left.trials, left.seconds)


def column_lines(facts: DataFacts) -> list[Line]:
    """A line of `[data.columns]` for each column that may be read wrongly.

    Codes of categories become categories; other guesses are confirmed, or said otherwise in a comment.
    """
    lines: list[Line] = []
    for column in facts.columns:
        key = toml_key(column.name)
        why = plain("; ".join(column.notes))
        if column.coded:
            lines.append(
                (f"{key} = {column.instead}", "few whole numbers in no order: codes, not quantities?")
            )
        elif column.doubt is not None:
            lines.append((f"{key} = {column.doubt}", why))
        elif column.instead is not None:
            lines.append(("", f"{key} = {column.instead}  # {why}"))
    head: list[Line] = [("", ""), ("[data.columns]", "number | category | boolean | date | ignore")]
    return [*head, *lines] if lines else []


def _study_text(dataset: Dataset, name: str, data: Sequence[Line], effort: Effort) -> str:
    """The study file; data: lines of `[data]`."""
    rows = len(dataset.train)
    batch = next((size for below, size in _BATCHES if rows < below), 128)
    steady = (f"batch_size = {batch}", f"{rows:,} training rows: {rows // batch:,} steps an epoch")
    space = searched(effort, steady, _width(dataset))
    losses = FITTING_LOSSES[dataset.task]
    return Starter(
        name,
        [
            f"{plain(dataset.name)}: a first study, by the practical guide. Fixed settings have values",
            f"that work almost everywhere; {_TUNED[effort]}",
        ],
        data,
        loss=(f"loss = {toml_value(losses[0])}", f"for this task: {' | '.join(losses)}"),
        metric=_metric(dataset),
        epochs=space.longer * (81 if rows < 2_000 else 27),
        trials=space.trials,
        **space.lines,
    ).text()


def _data_lines(dataset: Dataset, source: str, target: str | None, task: str | None) -> list[Line]:
    """Lines of `[data]`; source: as it is to stand there. target, task: what was asked for."""
    lines: list[Line] = [(f"source = {toml_value(source)}", "")]
    if target is not None:
        lines.append((f"target = {toml_value(target)}", ""))
    lines.append((f"task = {toml_value(task or str(dataset.task))}", _KINDS[dataset.task]))
    if dataset.task is Task.REGRESSION and _never_negative(dataset):
        never = 'never negative here: task = "positive_regression" fits softplus(o); loss = "poisson" counts'
        lines.append(("", never))
    if dataset.image is not None:
        side = f"image_size = [{dataset.image.height}, {dataset.image.width}]"
        lines.append((side, "smaller images train faster; n_images = 1000 uses fewer"))
    if dataset.classes:
        shown = ", ".join(dataset.classes[:8]) + (", …" if len(dataset.classes) > 8 else "")
        lines.append(("", f"classes: {plain(shown)}"))
    rows = [len(part) for part in (dataset.train, dataset.valid, dataset.test)]
    there = f"{rows[0]:,} rows to train, {rows[1]:,} to rank, {rows[2]:,} held out"
    return [*lines, ("split = { valid = 0.2, test = 0.2 }", there)]


def _never_negative(dataset: Dataset) -> bool:
    """Whether no target is below 0, in its own unit."""
    parts = (dataset.train, dataset.valid, dataset.test)
    least = min(float(part.y.min()) for part in parts if len(part))
    return least * dataset.target_std + dataset.target_mean >= -1e-6 * dataset.target_std


def _metric(dataset: Dataset) -> Line:
    """The metric that ranks trials, and why."""
    metrics = FITTING_METRICS[dataset.task]
    metric, why = metrics[0], "ranks trials, on the validation split"
    if dataset.classes:
        counts = np.bincount(dataset.train.y.astype(np.int64))
        largest = counts.max() / counts.sum()
        if largest >= _UNBALANCED:
            metric = "balanced_accuracy"
            why = f"{100 * largest:.0f}% of the rows are of one class: accuracy would mislead"
    others = " | ".join(name for name in metrics if name != metric)
    return f"metric = {toml_value(metric)}", f"{why}; or {others}"


def _width(dataset: Dataset) -> int:
    """Units in each hidden layer: enough for small images or a typical table."""
    return 100 if len(dataset.features) >= 500 else 64 if len(dataset.features) >= 5 else 16
