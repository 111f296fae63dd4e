"""Small studies of tables and pictures whose trials are exported, for tests of models in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hpsearch
from hpsearch.data import Dataset
from hpsearch.model.export import make_model, write_model
from hpsearch.records import StudyRecord, Trial
from hpsearch.retrain.reload import reload, retrain
from hpsearch.running.prepare import make_problem
from hpsearch.store import Database
from hpsearch.study.file import Study
from hpsearch.train.solo import build_model
from tests.studies import url

NASTY = "=cmd|' /C calc'!A0"
"""A column's name that a spreadsheet would obey."""

WORDS = ("<b>bold</b>", "\x1b[31mred", "a, b", "new\nline", "=1+1")
CLASSES = ("=2*3", "<script>", "\x1b[2J")

STUDY = """
[study]
name = "model"
seed = 5
[data]
source = {source}
{data}
[space]
learning_rate = {{ low = 0.01, high = 0.1, log = true }}
activation = ["tanh", "relu", "silu"]
batch_norm = [true, false]
dropout = 0.2
width = 8
depth = 3
[train]
epochs = 4
{train}
[search]
sampler = "random"
trials = 6
stopping = "none"
"""


@dataclass(frozen=True)
class Trained:
    """A study that has run, and its best trial."""

    database: Path
    record: StudyRecord
    study: Study
    dataset: Dataset
    trial: Trial

    def export(self, folder: Path, onnx: bool = False) -> hpsearch.Model:
        """The best trial's model, written and read again."""
        model = make_model(self.record, self.study, self.dataset, self.trial, "cpu")
        write_model(model, folder, onnx)
        return hpsearch.load_model(folder)

    def reference(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Raw outputs of prepared rows by the reference network of the trainer."""
        import torch

        assert self.trial.best_epoch is not None
        problem = make_problem(self.study, self.dataset, "cpu")
        state = retrain(self.study, problem, self.trial, self.trial.best_epoch)
        network = build_model(problem, self.study.space.configuration(self.trial.params), state).eval()
        with torch.no_grad():
            outputs: np.ndarray[Any, Any] = network(torch.from_numpy(x)).numpy()
        return outputs


def hostile_table(rows: int = 160) -> pd.DataFrame:
    """Numbers, words and truths with holes, constants, and a column that says each row's part."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            NASTY: random.normal(1e4, 3, rows),
            "with holes": random.lognormal(size=rows),
            "constant": 7.0,
            "words": random.choice(np.array(WORDS, object), rows),
            "codes": random.choice(np.array(["1", "2", "x"], object), rows),
            "truth": random.choice(np.array([True, False], object), rows),
            "part": np.resize(["train", "train", "valid", "test"], rows),
        }
    )
    frame.loc[::7, "with holes"] = np.nan
    frame.loc[::11, "words"] = None
    frame.loc[::13, "truth"] = None
    score = (frame[NASTY] - 1e4) / 3 + (frame["words"] == WORDS[0]) + random.normal(0, 0.1, rows)
    frame["score"] = score
    return frame


def table_with(target: str) -> pd.DataFrame:
    """The hostile table whose last column, the target, is fit for a task."""
    frame = hostile_table()
    score = frame.pop("score")
    if target in ("binary", "multiclass"):
        edges = [0.3] if target == "binary" else [-0.3, 0.8]
        frame["aim"] = np.array(CLASSES, object)[np.digitize(score, edges)]
    elif target == "regression":
        frame["aim"] = 1e3 + 20 * score
    else:
        frame["aim"] = np.exp(score)
    return frame


def run_study(folder: Path, source: str, data: str = "", train: str = "", database: str = "x.db") -> Trained:
    """Run a study of `source`, a path below `folder`."""
    path = folder / "model.toml"
    path.write_text(STUDY.format(source=repr(source), data=data, train=train), encoding="utf-8")
    best = hpsearch.run(path, storage=url(folder / database), confirm=False).best_trial
    with Database.open(url(folder / database)) as opened:
        store = opened.study("model")
        record, trials = store.record, store.trials()
    (trial,) = (each for each in trials if each.number == best)
    return Trained(folder / database, record, *reload(record), trial)


def run_table(folder: Path, target: str, train: str = "") -> tuple[Trained, Path]:
    """Run a study of `table_with(target)`, and the path of its table."""
    table = folder / "t.csv"
    table_with(target).to_csv(table, index=False)
    task = f'task = "{target}"\n' if target == "positive_regression" else ""
    data = f'target = "aim"\n{task}split = {{ column = "part" }}'
    return run_study(folder, "t.csv", data, train), table
