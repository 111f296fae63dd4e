"""The sections of a study file, as pydantic models."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hpsearch.defaults import MOST_REPEATS, REPEATS
from hpsearch.errors import nearest
from hpsearch.study.methods import SAMPLERS, STOPPING

Objective = Literal["parameters", "loss"]
TaskName = Literal["binary", "multiclass", "regression", "positive_regression"]
Loss = Literal["cross_entropy", "bce", "l1", "mse", "poisson"]
Score = Literal["last", "smoothed", "best"]
Threshold = Literal["validation", "fixed"]
Metric = Literal[
    "accuracy",
    "error",
    "balanced_accuracy",
    "f1",
    "auc",
    "log_loss",
    "mae",
    "rmse",
    "r2",
    "loss",
]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(written: Any) -> Any:
    """Seconds of a duration such as 90, "90s", "10m", "1h30m"; other values are returned as they are."""
    if isinstance(written, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smh])", written)
        if parts and re.fullmatch(r"\s*(?:\d+(?:\.\d+)?\s*[smh]\s*)+", written):
            return sum(float(number) * _UNITS[unit] for number, unit in parts)
        raise ValueError('expected a duration such as "90s", "10m" or "1h30m"')
    return written


class Section(BaseModel):
    """Base of all sections: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StudySection(Section):
    """`[study]`: its name and seed, and what its networks are compared with."""

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="the study's name in the database; the file's stem when absent",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="everything random follows from it")
    baselines: bool = Field(
        True,
        description="train simple models beside the study, to compare its networks with: the majority class "
        "or the mean, a linear model, nearest neighbours, gradient boosting",
    )


class SplitSection(Section):
    """`data.split`: how rows are split; the rest is for training."""

    valid: float = Field(0.2, gt=0, lt=1, description="share of the rows that trials are ranked on")
    test: float = Field(0.2, ge=0, lt=1, description="share of the rows that no trial sees")
    column: str | None = Field(None, description="a column that says train, valid or test, instead of shares")

    @model_validator(mode="after")
    def _leaves_rows_for_training(self) -> SplitSection:
        if self.column is None and self.valid + self.test >= 1:
            raise ValueError("valid and test together must leave rows for training: below 1")
        return self


def height_and_width(written: Any) -> Any:
    """Refuse what is not height and width of images."""
    if written is None:
        return None
    whole = isinstance(written, (list, tuple)) and all(type(side) is int for side in written)
    if not (whole and len(written) == 2 and min(written) >= 1):
        raise ValueError("expected height and width in pixels, such as [32, 32]")
    return list(written)


ColumnKind = Literal["number", "category", "boolean", "date", "ignore"]


class ColumnSection(Section):
    """`[data.columns]`, one column: how it is read where the inferred kind is wrong."""

    kind: ColumnKind | None = Field(None, description="inferred when absent")
    decimal: Literal[".", ","] | None = Field(None, description="numbers: the decimal mark")
    missing: list[str] | None = Field(
        None, description="texts that stand for no value; [] keeps every text, also NA, as a name"
    )
    format: str | None = Field(None, description='dates: their order, such as "%d/%m/%Y"')


def _column_section(written: Any) -> Any:
    """A kind alone stands for a table with that kind."""
    return {"kind": written} if isinstance(written, str) else written


CLASSES = ("binary", "multiclass")


class DataSection(Section):
    """`[data]`: where the rows come from and what is predicted."""

    source: str = Field(
        description="a built-in name, or the path of a .csv, .tsv or .parquet file (also .gz, .xz), of a "
        "folder of class folders of images, a .zip of one, an .npz file or IDX files, relative to the "
        "study file"
    )
    target: str | None = Field(None, description="tables: the column to predict")
    task: TaskName | None = Field(
        None, description="inferred from the target when absent; positive_regression only on request"
    )
    split: SplitSection = Field(SplitSection(), description="how rows are split")  # type: ignore[call-arg]
    rows: int | None = Field(
        None, ge=10, le=10_000_000, description="xor, spiral and paws: how many points to generate"
    )
    noise: float | None = Field(
        None, ge=0, description="xor, spiral and paws: standard deviation of the noise"
    )
    image_size: Annotated[list[int] | None, BeforeValidator(height_and_width)] = Field(
        None, description="images: resize to [height, width]; unchanged when absent"
    )
    n_images: int | None = Field(
        None, ge=10, description="images: take this many, classes in proportion; all when absent"
    )
    colour: Literal["rgb", "grey"] | None = Field(
        None, description="images: convert to these; unchanged when absent"
    )
    columns: dict[str, Annotated[ColumnSection, BeforeValidator(_column_section)]] | None = Field(
        None,
        description="tables: what a column is, where it is inferred wrongly: number, category, boolean, date "
        "or ignore; or a table with kind, decimal, missing and format",
    )

    def asked_columns(self) -> dict[str, dict[str, Any]]:
        """What `[data.columns]` says of each column, keys that it leaves out left out."""
        return {name: own.model_dump(exclude_none=True) for name, own in (self.columns or {}).items()}


class TrainSection(Section):
    """`[train]`: what every trial has in common."""

    epochs: int = Field(27, ge=1, description="maximum per trial")
    loss: Loss | None = Field(None, description="by task: cross_entropy, bce or mse")
    metric: Metric | None = Field(
        None, description="what trials are ranked by, on the validation split; by task: accuracy or rmse"
    )
    score: Score = Field(
        "last",
        description="what counts of a trial's curve of that metric, in rungs, ranks and samplers: its last "
        "epoch, the mean of the last fifth of its epochs, or its best epoch, which flatters",
    )
    threshold: Threshold = Field(
        "validation",
        description="binary tasks ranked by balanced_accuracy or f1: above which probability confirm, export "
        "and predict decide for the second class: chosen on the validation split, or 0.5 (fixed), at which "
        "the search always ranks",
    )
    representation: Literal["softplus", "relu"] | None = Field(
        None,
        description="positive_regression: what a raw output o means: softplus(o), also inside the "
        "loss, or ReLU(o); softplus when absent",
    )
    last_batch: Literal["drop", "keep"] = Field(
        "drop", description="what happens to an epoch's last mini-batch if it is incomplete"
    )


def sampler_name(written: Any) -> Any:
    """Refuse what is neither a sampler's name nor the import path of one."""
    if isinstance(written, str) and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", written):
        if written in SAMPLERS:
            return written
        raise ValueError(
            f"expected one of {', '.join(SAMPLERS)}, or an Optuna sampler such as "
            f"optuna.samplers:TPESampler{nearest(written, SAMPLERS)}"
        )
    return written


def rule_name(written: Any) -> Any:
    """Refuse what is not the name of a stopping rule."""
    if isinstance(written, str) and written in STOPPING:
        return written
    hint = nearest(written, STOPPING) if isinstance(written, str) else ""
    raise ValueError(f"expected one of {', '.join(STOPPING)}{hint}")


def plain_values(written: Any) -> Any:
    """Refuse what cannot be stored with the study."""
    try:
        json.dumps(written)
    except TypeError:
        raise ValueError("expected numbers, strings, true, false, and lists and tables of these") from None
    return written


class GiveUpSection(Section):
    """`search.give_up`: when a study has seen enough."""

    trials: int = Field(ge=1, description="this many trials in a row")
    delta: float = Field(0.0, ge=0, description="an improvement of the best metric is more than this")


class SearchSection(Section):
    """`[search]`: how trials are chosen and stopped."""

    sampler: Annotated[str, BeforeValidator(sampler_name)] = Field(
        "tpe",
        description=f"what chooses the trials: {', '.join(SAMPLERS)}, or an Optuna sampler by its import "
        "path, such as optuna.samplers:TPESampler",
    )
    options: Annotated[dict[str, Any], BeforeValidator(plain_values)] = Field(
        {}, description="arguments of a sampler given by its import path"
    )
    objectives: list[Objective] = Field(
        [],
        description="what to minimise besides the metric: parameters (weights of the network), loss (of "
        "validation); the report shows the Pareto front",
    )
    scientific: list[str] = Field(
        [],
        description="searched hyper-parameters that the study is about: their values get equally many "
        "trials, and early stopping compares only trials with the same values",
    )
    trials: int = Field(64, ge=1, description="the study's total, also over resumes")
    epoch_limit: int | None = Field(
        None, ge=1, description="over all trials: no trial starts once they are trained"
    )
    time_limit: Annotated[float | None, BeforeValidator(seconds)] = Field(
        None, gt=0, description='of each run, such as "10m"; it ends at the next rung'
    )
    give_up: GiveUpSection | None = Field(
        None,
        description="no trial starts after this many `trials` without an improvement of more than `delta`",
    )
    stopping: Annotated[str, BeforeValidator(rule_name)] = Field(
        "halving", description=f"how bad trials are stopped early: {', '.join(STOPPING)}"
    )
    factor: int = Field(3, ge=2, description="halving, hyperband: one in this many survives a rung")
    min_epochs: int | None = Field(
        None,
        ge=1,
        description="the first rung; median and patience: how often they check; epochs / factor² when absent",
    )
    patience: int | None = Field(
        None, ge=1, description="patience: epochs without improvement; a fifth of all when absent"
    )
    min_delta: float = Field(
        0.0, ge=0, description="patience: an improvement of the metric is more than this"
    )
    cohort: int = Field(64, ge=1, le=100_000, description="trials that the sampler is asked for at once")


class CompareSection(Section):
    """`[compare]`: the question that the report answers, with an interval. It changes no trial."""

    by: str | list[str] = Field(
        description="a searched hyper-parameter whose values to compare, or a list of some, to compare "
        "their combinations; or linear: networks without a non-linearity against all others"
    )
    baseline: Any = Field(
        None,
        description="the value (for a list, the values) to compare the others with; by default the best",
    )
    seeds: int = Field(10, ge=3, le=100_000, description="how often each value's best trial is retrained")
    repeats: int = Field(
        REPEATS,
        ge=1,
        le=MOST_REPEATS,
        description="how often rows are split, trials searched and each value's best retrained, the study "
        "itself included: the answer is then about the hyper-parameter. With 1 it is about the "
        "configurations that were found on this split",
    )


SECTIONS: dict[str, type[Section]] = {
    "study": StudySection,
    "data": DataSection,
    "train": TrainSection,
    "search": SearchSection,
    "compare": CompareSection,
}

OPTIONAL = ("compare",)
"""Sections that a study may lack."""

POINTS = ("enqueue", "forbidden")
"""Tables in double brackets: points to try first, and combinations that are not tried."""
