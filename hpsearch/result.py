"""What the public functions return of a study: its frames, its best trial, its report and its charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.records import FloatArray, Params, Queued, Run, Segment, State, StudyRecord, Trials

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

    from hpsearch.data import Dataset
    from hpsearch.data.new_rows import Rows
    from hpsearch.model.model import Model
    from hpsearch.reporting.charts.spec import Chart
    from hpsearch.results.activity import Activity
    from hpsearch.results.frames import Report
    from hpsearch.running.estimate import Estimate
    from hpsearch.running.machine import Machine
    from hpsearch.running.profile import Profile
    from hpsearch.study.file import Study


@dataclass(frozen=True, repr=False)
class Result:
    """A study as it stands: its frames, its best trial, its report and its charts.

    numbers: what everything below is made from. images: PNGs that the report shows, by file name.
    complete: all trials are finished, and no more begin. stopped: somebody asked the run to stop. profile:
    where the time of the run went, if there was one.
    """

    numbers: Report
    complete: bool
    images: Mapping[str, bytes] = field(default_factory=dict)
    stopped: bool = False
    profile: Profile | None = None

    @property
    def study(self) -> str:
        """The study's name."""
        return self.numbers.record.name

    @property
    def trials(self) -> DataFrame:
        """All trials, one a row, best first, with the columns of `report --format csv`."""
        return self.numbers.trials

    @cached_property
    def curves(self) -> DataFrame:
        """The learning curves, one row a trial and epoch, with the columns of `curves --format csv`."""
        from hpsearch.results.frames import curves_frame

        return curves_frame(self.numbers.record, self.numbers.curves)

    @cached_property
    def confirmed(self) -> DataFrame | None:
        """The finalists on fresh seeds, one a row, best first; None before they are confirmed."""
        from hpsearch.results.confirmation import confirmed_frame

        found = self.numbers.confirmation
        return None if found is None else confirmed_frame(found)

    @property
    def best_trial(self) -> int | None:
        """The best confirmed trial, otherwise the best by validation; None if no trial is complete."""
        return self.numbers.best

    @property
    def best_params(self) -> Params | None:
        """The searched hyper-parameters of the best trial; those that mean nothing to it are left out."""
        if self.best_trial is None:
            return None
        return self.numbers.params(self.numbers.row(self.best_trial))

    @cached_property
    def charts(self) -> dict[str, Chart]:
        """Every chart of the report by name; `spec` is Vega-Lite."""
        from hpsearch.reporting.sections import all_charts
        from hpsearch.results.lessons import lessons

        return {chart.name: chart for chart in all_charts(self.numbers, lessons(self.numbers))}

    def text(self, width: int = 100, top: int = 10) -> str:
        """The report for a terminal of so many columns; top: rows of the ranked table, 0 for all."""
        if self.trials.empty:
            return f"{self.study}: no trial is finished\n"
        from hpsearch.reporting.tables import plain_text, report_view

        return plain_text(report_view(self.numbers, width, top), width)

    def markdown(self, top: int = 10) -> str:
        """The report as Markdown."""
        from hpsearch.reporting.markdown import report_markdown

        self._check_finished()
        return report_markdown(self.numbers, top)

    def html(self) -> str:
        """The report as one page that needs no network."""
        from hpsearch.reporting.page import page_html

        self._check_finished()
        return page_html(self.numbers, self.images)

    def document(self) -> dict[str, Any]:
        """The report as `hpsearch.report/1`, see `report --format json`."""
        from hpsearch.reporting.json_csv import report_document

        return report_document(self.numbers)

    def write(self, folder: str | Path, top: int = 10) -> list[Path]:
        """Write the report into a folder in all formats, with every chart; returns the files.

        Raises:
            HpsearchError: the folder cannot be made or written to.
        """
        from hpsearch.reporting.write import write_report

        self._check_finished()
        return write_report(self.numbers, Path(folder), top, self.images)

    def _check_finished(self) -> None:
        """Raise NothingToShowError where no trial is finished."""
        from hpsearch.results.frames import check_finished

        check_finished(self.numbers.record, self.numbers.counts)

    def __repr__(self) -> str:
        from hpsearch.text import counts_text

        best = "" if self.best_trial is None else f", best trial {self.best_trial}"
        return f"<hpsearch.Result {self.study}: {counts_text(self.numbers.counts) or 'no trials'}{best}>"


@dataclass(frozen=True)
class Queue:
    """Points that wait in a study until it tries them.

    begun: trials of the study so far. total: that it asks for. origin: its study file, "" if it has none.
    """

    study: str
    waiting: tuple[Queued, ...]
    begun: int
    total: int
    origin: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run would do: the resolved study, its data, the machine, and what is left to train."""

    study: Study
    dataset: Dataset
    machine: Machine
    left: Estimate


@dataclass(frozen=True)
class Predictions:
    """What a model says of rows. outputs: [rows, O] raw outputs. frame: as `predict` returns it."""

    model: Model
    rows: Rows
    outputs: NDArray[np.float32]
    frame: DataFrame


@dataclass(frozen=True)
class StudyDetails:
    """How a stored study was set up.

    counts: of its trials by state. runs: that trained it, in order. activity: whether it is being trained.
    """

    record: StudyRecord
    counts: Mapping[State, int]
    runs: Sequence[Run]
    activity: Activity


@dataclass(frozen=True)
class TrialDetails:
    """The trial `number` of a stored study, among all trials.

    curve: [epochs, columns]. segments: which run trained which epochs in which lane.
    """

    record: StudyRecord
    trials: Trials
    number: int
    curve: FloatArray
    segments: Sequence[Segment]


@dataclass(frozen=True)
class Compacted:
    """A database that was rewritten, by its URL without password; its size in bytes."""

    url: str
    before: int
    after: int


@dataclass(frozen=True)
class Dumped:
    """A study that was dumped or loaded. place: where it is now. size: of the files written, in bytes."""

    study: str
    trials: int
    epochs: int
    place: str
    size: int
