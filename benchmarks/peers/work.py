"""What a peer's process is given, and how it trains a trial and records what comes out.

Every epoch's validation accuracy is recorded when it is there, so that all of them count, whatever becomes of
the trial. Data lie in memory, as tensors; a process has one thread.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import solo

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """A search that a peer is to do.

    folder: has the task and the data, and takes the records. seed: of the study. began: time.time() when the
    peer was started. seconds: it has from then on. worker: which of the peer's processes this is.
    """

    folder: Path
    seed: int
    began: float
    seconds: float
    worker: int = 0

    @classmethod
    def from_command_line(cls) -> Work:
        folder, seed, began, seconds, worker = sys.argv[1:]
        return cls(Path(folder), int(seed), float(began), float(seconds), int(worker))

    @cached_property
    def _task(self) -> dict[str, Any]:
        task: dict[str, Any] = json.loads((self.folder / "task.json").read_text())
        return task

    @property
    def space(self) -> dict[str, Any]:
        """Searched hyper-parameters: a list of values, or {low, high, log, integer}."""
        space: dict[str, Any] = self._task["space"]
        return space

    @property
    def epochs(self) -> int:
        """The most that a trial gets."""
        return int(self._task["epochs"])

    @cached_property
    def data(self) -> solo.Data:
        arrays = np.load(self.folder / "data.npz")
        return solo.Data(*(torch.from_numpy(arrays[name]) for name in solo.Data._fields))

    @property
    def left(self) -> float:
        """Seconds until the peer has to end."""
        return self.began + self.seconds - time.time()

    def train(self, params: Params, epochs: int) -> Iterator[float]:
        """Train a trial from fresh weights; the validation accuracy of each epoch, until the time is up."""
        torch.set_num_threads(1)
        data, settings = self.data, {**self._task["fixed"], **params}
        hidden = [settings["width"]] * (settings["depth"] - 1)
        model = solo.network(data.x_train.shape[1], hidden, self._task["outputs"], settings["activation"])
        optimizer = solo.descent(model, settings)
        with open(self.folder / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as records:
            for at, epoch in enumerate(solo.train(model, optimizer, data, epochs, settings["batch_size"]), 1):
                accuracy = epoch.valid_accuracy.item()
                record = {"at": time.time(), "epoch": at, "accuracy": accuracy, "params": dict(params)}
                print(json.dumps(record), file=records, flush=True)
                yield accuracy
                if self.left <= 0:
                    return
