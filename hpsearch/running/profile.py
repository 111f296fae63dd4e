"""Where the time of a run goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from hpsearch.running.pool import TileResult
from hpsearch.running.workload import AnyWorkload


class Profile:
    """What a run's training loop spent its time on.

    phases: seconds of the main thread (deciding, sampling, planning, storing). seconds: the loop's wall
    time. training, evaluating: seconds of all workers. operations: floating-point operations of the products.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.phases: dict[str, float] = defaultdict(float)
        self.seconds = self.training = self.evaluating = self.operations = 0.0

    @property
    def idle(self) -> float:
        """Seconds that workers waited."""
        return max(0.0, self.workers * self.seconds - self.training - self.evaluating)

    @contextmanager
    def time(self, phase: str) -> Iterator[None]:
        """Add the time within to a phase."""
        began = monotonic()
        try:
            yield
        finally:
            self.phases[phase] += monotonic() - began

    def count(self, workload: AnyWorkload, result: TileResult) -> None:
        """Add a tile's seconds and operations."""
        evaluating = sum(lane.evaluating for lane in result.lanes)
        self.evaluating += evaluating
        self.training += result.seconds - evaluating
        for lane, asked in zip(result.lanes, result.tile.lanes, strict=True):
            self.operations += workload.operations(asked, len(lane.curve))
