"""Reading a study file: TOML in, `Study` or all complaints at once out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hpsearch.errors import Complaint, StudyFileError, nearest
from hpsearch.records import Params, Task
from hpsearch.study.arms import check_compare
from hpsearch.study.keys import likely, near_key, near_key_of, places_of
from hpsearch.study.methods import exhaustive
from hpsearch.study.points import Forbidden, check_forbidden, check_points, read_forbidden, read_points
from hpsearch.study.positions import Positions
from hpsearch.study.schema import (
    OPTIONAL,
    POINTS,
    SECTIONS,
    CompareSection,
    DataSection,
    SearchSection,
    Section,
    StudySection,
    TrainSection,
)
from hpsearch.study.search import check_search, check_train
from hpsearch.study.space import Space, read_space
from hpsearch.study.toml import parse, read_text, unusable
from hpsearch.text import typed_value

_TABLES = (*SECTIONS, "space", *POINTS)
_OF_CLASSES = ("accuracy", "error", "balanced_accuracy", "f1", "auc", "log_loss", "loss")
_OF_NUMBERS = ("rmse", "mae", "r2", "loss")
FITTING_LOSSES = {
    Task.BINARY: ("bce",),
    Task.MULTICLASS: ("cross_entropy",),
    Task.REGRESSION: ("mse", "l1"),
    Task.POSITIVE_REGRESSION: ("mse", "l1", "poisson"),
}
"""By task; the first is the default: continuous outputs are fitted by their distance, classes by likelihood.
"""
FITTING_METRICS = {
    Task.BINARY: _OF_CLASSES,
    Task.MULTICLASS: _OF_CLASSES,
    Task.REGRESSION: _OF_NUMBERS,
    Task.POSITIVE_REGRESSION: _OF_NUMBERS,
}
"""By task; the first is the default."""
MAXIMIZED = ("accuracy", "balanced_accuracy", "f1", "auc", "r2")
THRESHOLDED = ("balanced_accuracy", "f1")
"""Metrics of a binary task that another threshold than 0.5 often makes better; accuracy is best at 0.5 where
probabilities are right."""

UNSAID = "best"
"""The score of a stored study that does not name one: before it could be chosen it was the best epoch's."""
FIXED = "fixed"
"""The threshold of a stored study that does not name one: before it could be chosen it was 0.5."""


def score_of(document: Mapping[str, Any]) -> str:
    """`train.score` of a stored study."""
    score: str = document.get("train", {}).get("score", UNSAID)
    return score


def threshold_of(document: Mapping[str, Any]) -> str:
    """`train.threshold` of a stored study."""
    threshold: str = document.get("train", {}).get("threshold", FIXED)
    return threshold


@dataclass(frozen=True)
class Source:
    """Where a study was written: for complaints and for relative paths."""

    path: Path | None = None
    shown: str = "study"
    positions: Positions = field(default_factory=lambda: Positions(""), compare=False)
    overrides: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    stored: bool = False

    def complaint(self, path: tuple[str, ...], text: str) -> Complaint:
        """A complaint about the key at `path`, such as ("space", "momentum")."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return Complaint(f"--set {self.overrides[path[:length]]}", ".".join(path), text)
        position = self.positions.find(path)
        where = self.shown if position is None else f"{self.shown}:{position[0]}:{position[1]}"
        return Complaint(where, ".".join(path), text)


@dataclass(frozen=True)
class Study:
    """A study as the user wrote it, checked.

    enqueue: points, whole or in part, that the first trials try. forbidden: combinations that none tries.
    baselines: whether simple models are trained beside it.
    """

    name: str
    seed: int
    data: DataSection
    space: Space
    train: TrainSection
    search: SearchSection
    compare: CompareSection | None = None
    enqueue: tuple[Params, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    baselines: bool = True
    source: Source = field(default_factory=Source, compare=False)

    def resolve(self, task: Task) -> Study:
        """The study with loss, metric and representation filled in for the task.

        Raises:
            StudyFileError: one of them does not fit the task.
        """
        positive = task is Task.POSITIVE_REGRESSION
        chosen = {
            "loss": self.train.loss or FITTING_LOSSES[task][0],
            "metric": self.train.metric or FITTING_METRICS[task][0],
        }
        complaints = [
            self.source.complaint(
                ("train", key),
                f'"{chosen[key]}" does not fit a {task} task; expected one of {", ".join(fitting)}',
            )
            for key, fitting in (("loss", FITTING_LOSSES[task]), ("metric", FITTING_METRICS[task]))
            if chosen[key] not in fitting
        ]
        fits = task is Task.BINARY and chosen["metric"] in THRESHOLDED
        asked = self.train.threshold != FIXED and "threshold" in self.train.model_fields_set
        if asked and not fits and not self.source.stored:
            text = f'"{self.train.threshold}" applies to binary tasks ranked by {" or ".join(THRESHOLDED)}; '
            text += f"this is a {task} task ranked by {chosen['metric']}: leave the key out"
            complaints.append(self.source.complaint(("train", "threshold"), text))
        representation = self.train.representation or ("softplus" if positive else None)
        if representation and not positive:
            text = f'"{representation}" applies to positive_regression; the task is {task}: leave the key out'
            complaints.append(self.source.complaint(("train", "representation"), text))
        if representation == "relu" and chosen["loss"] == "poisson":
            text = 'the Poisson loss needs outputs above 0: use representation = "softplus", or mse or l1'
            complaints.append(self.source.complaint(("train", "loss"), text))
        if complaints:
            raise StudyFileError(complaints)
        train = self.train.model_copy(update={**chosen, "representation": representation})
        data = self.data.model_copy(update={"task": str(task)})
        return replace(self, train=train, data=data)

    @property
    def direction(self) -> str:
        """ "maximize" or "minimize", as Optuna calls it; for a resolved study."""
        return "maximize" if self.train.metric in MAXIMIZED else "minimize"

    @property
    def sign(self) -> float:
        """1 where more of the metric is better, −1 where less is: turns it so that more is better."""
        return 1.0 if self.direction == "maximize" else -1.0

    def allows(self, params: Params) -> bool:
        """Whether a trial may have these hyper-parameters: none of the forbidden combinations holds."""
        if not self.forbidden:
            return True
        described = self.space.described(params)
        return not any(combination.holds(described) for combination in self.forbidden)

    @property
    def chooses_threshold(self) -> bool:
        """Whether a binary class is decided at a threshold chosen on validation; for a resolved study."""
        fits = self.data.task == "binary" and self.train.metric in THRESHOLDED
        return fits and self.train.threshold != FIXED

    def as_begun(self, document: Mapping[str, Any]) -> Study:
        """The study as it goes on from a stored document: what neither names is as it was."""
        unsaid = {
            key: value
            for key, value in (("score", UNSAID), ("threshold", FIXED))
            if key not in self.train.model_fields_set and key not in document.get("train", {})
        }
        return replace(self, train=self.train.model_copy(update=unsaid)) if unsaid else self

    def document(self) -> dict[str, Any]:
        """Every key of the study with its value, defaults filled in, as JSON-able values."""
        optional: dict[str, Any] = {}
        if self.compare is not None:
            optional["compare"] = self.compare.model_dump()
        if self.enqueue:
            optional["enqueue"] = [dict(point) for point in self.enqueue]
        if self.forbidden:
            optional["forbidden"] = [combination.document() for combination in self.forbidden]
        return {
            # Left out where it is not used, so that studies that were stored before it was known stay equal.
            "study": {
                "name": self.name,
                "seed": self.seed,
                **({} if self.baselines else {"baselines": False}),
            },
            "data": self.data.model_dump(exclude=None if self.data.columns else {"columns"}),
            "space": self.space.document(),
            "train": self.train.model_dump(
                exclude={
                    *(() if self.chooses_threshold else ("threshold",)),
                    *(("score",) if self.train.score == UNSAID else ()),
                }
            ),
            "search": self.search.model_dump(),
            **optional,
        }


def load_study(path: str | Path, overrides: Iterable[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        path: a TOML file. overrides: "key=value" pairs such as "space.width=32", applied on top.

    Raises:
        StudyFileError: with everything that is wrong in it.
    """
    path = Path(path)
    text = read_text(path)
    written = parse(text, str(path))
    source = Source(path, str(path), Positions(text))
    return _read(written, replace(source, overrides=_apply(written, overrides)), path.stem)


def study_from_document(
    document: Mapping[str, Any], origin: str = "", overrides: Iterable[str] = ()
) -> Study:
    """The study whose `document()` was stored; `origin` is the path of the file it came from."""
    name = document["study"]["name"]
    written = copy.deepcopy(dict(document))
    if isinstance(written.setdefault("train", {}), dict):
        written["train"].setdefault("score", UNSAID)
        written["train"].setdefault("threshold", FIXED)
    source = Source(Path(origin) if origin else None, f"stored study {name}", stored=True)
    return _read(written, replace(source, overrides=_apply(written, overrides)), name)


def full_key(override: str) -> str:
    """A "key=value" pair with the key's section, which may be left out where only one section has the key.

    Raises:
        StudyFileError: it is no such pair, or the key's section is not known.
    """
    key, equals, value = override.partition("=")
    path = [part.strip() for part in key.split(".")]
    key = ".".join(path)
    if equals and all(path):
        if len(path) > 1 and path[0] in _TABLES:
            return f"{key}={value}"
        places = places_of(key)
        if len(places) == 1:
            return f"{places[0]}={value}"
        hint = f"; {key} may be {' or '.join(places)}" if places else likely(key)
    else:
        hint = ""
    hint = hint or f" (SECTION is one of {', '.join(_TABLES)})"
    raise StudyFileError(
        [Complaint(f"--set {override}", "", f"expected SECTION.KEY=VALUE such as space.width=32{hint}")]
    )


def _apply(written: dict[str, Any], overrides: Iterable[str]) -> dict[tuple[str, ...], str]:
    """Apply "key=value" pairs to a parsed file; returns the paths that they set."""
    applied = {}
    for override in overrides:
        key, _, value = full_key(override).partition("=")
        path = tuple(key.split("."))
        table = written
        for part in path[:-1]:
            inner = table.get(part)
            if not isinstance(inner, dict):
                inner = table[part] = {}
            table = inner
        table[path[-1]] = typed_value(value)
        applied[path] = override
    return applied


def _read(written: dict[str, Any], source: Source, stem: str) -> Study:
    complaints: list[Complaint] = []

    def complain(path: tuple[str, ...], text: str) -> None:
        complaints.append(source.complaint(path, text))

    for path, text in unusable(written):
        complain(path, text)
    if complaints:  # of values that the checks below could not even show
        raise StudyFileError(sorted(complaints, key=lambda c: _order(c.where)))
    for name, table in written.items():
        if name not in _TABLES:
            has = f"(a study file has {', '.join(_TABLES)})"
            complain((name,), f"unknown table{nearest(name, _TABLES) or likely(name)} {has}")
        elif name not in POINTS and not isinstance(table, dict):
            complain((name,), f"expected a table [{name}]; found {table!r}")
    sections: dict[str, Any] = {}
    for name, model in SECTIONS.items():
        table = written.get(name, {})
        if isinstance(table, dict) and not (name in OPTIONAL and name not in written):
            sections[name] = _read_section(name, model, table, complain)
    space_table = written.get("space", {})
    space = Space({})
    if isinstance(space_table, dict):
        space = read_space(space_table, _below("space", complain))
    study, search, train = sections.get("study"), sections.get("search"), sections.get("train")
    enqueue: tuple[Params, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    if not any(complaint.key.startswith("space") for complaint in complaints):
        if compare := sections.get("compare"):
            check_compare(compare, space, lambda key, text: complain(("compare", key), text))
        forbidden = read_forbidden(written.get("forbidden", []), space, _below("forbidden", complain))
        if not source.stored:  # what is stored stays readable
            check_forbidden(forbidden, space, _below("forbidden", complain))
        enqueue = read_points(written.get("enqueue", []), space, _below("enqueue", complain))
        check_points(enqueue, forbidden, space, _below("enqueue", complain))
        if search:
            check_search(search, space, _below("search", complain))
            if enqueue and exhaustive(search.sampler):
                complain(
                    ("enqueue",),
                    f"a {search.sampler} tries every combination anyway; leave out one of the two",
                )
    if search and train:
        check_train(search, train, _below("search", complain))
    if complaints:
        raise StudyFileError(sorted(complaints, key=lambda c: _order(c.where)))
    assert isinstance(study, StudySection)
    assert isinstance(search, SearchSection)
    if search.objectives and "stopping" not in written.get("search", {}):
        search = search.model_copy(update={"stopping": "none"})
    return Study(
        name=study.name or name_from(stem),
        seed=study.seed,
        data=sections["data"],
        space=space,
        train=sections["train"],
        search=search,
        compare=sections.get("compare"),
        enqueue=enqueue,
        forbidden=forbidden,
        baselines=study.baselines,
        source=source,
    )


def _below(section: str, complain: Callable[[tuple[str, ...], str], None]) -> Callable[[str, str], None]:
    """Complaints about keys of a section, which may have dots."""
    return lambda key, text: complain((section, *(key.split(".") if key else ())), text)


def _order(where: str) -> tuple[int, int]:
    numbers = where.rsplit(":", 2)[1:]
    return (
        (int(numbers[0]), int(numbers[1]))
        if len(numbers) == 2 and all(n.isdigit() for n in numbers)
        else (0, 0)
    )


def name_from(stem: str) -> str:
    """A study's name made of a file's stem."""
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem)
    return cleaned.lstrip("._-")[:100] or "study"


def _read_section(name: str, model: type[Section], table: dict[str, Any], complain: Any) -> Section | None:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        for details in error.errors():
            path = tuple(str(part) for part in details["loc"])
            complain((name, *path), _text(details, model, name))
        return None


def _text(details: ErrorDetails, model: type[Section], name: str) -> str:
    """One sentence for one of pydantic's errors: expected, found, nearest."""
    kind, context, found = details["type"], details.get("ctx", {}), details["input"]
    shown = (
        f'"{found}"'
        if isinstance(found, str)
        else str(found).replace("True", "true").replace("False", "false")
    )
    if kind == "extra_forbidden":
        fields = list(_section_at(model, details["loc"][:-1]).model_fields)
        word = str(details["loc"][-1])
        hint = near_key_of(name, word, fields) if len(details["loc"]) == 1 else near_key(word, fields)
        return f"unknown key{hint} (known: {', '.join(fields)})"
    if kind == "missing":
        field = _section_at(model, details["loc"][:-1]).model_fields[str(details["loc"][-1])]
        return f"is missing; expected {field.description}"
    if kind == "literal_error":
        values = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        hint = nearest(found, values.split(", ")) if isinstance(found, str) else ""
        return f"expected one of {values}; found {shown}{hint}"
    if kind == "string_pattern_mismatch":
        return f"expected a name of letters, digits, '.', '_' and '-'; found {shown}"
    if kind == "value_error":
        expected, hint, word = str(context["error"]).partition("; did you mean")
        return f"{expected}; found {shown}{hint}{word}"
    if kind in ("dict_type", "model_type"):
        inner = _section_at(model, details["loc"])
        keys = f" with {', '.join(inner.model_fields)}" if kind == "model_type" else ""
        return f"expected a table{keys}; found {shown}"
    message = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"expected {message}; found {shown}"


def _section_at(model: type[Section], path: Iterable[str | int]) -> type[Section]:
    """The section that a section has at a path of keys; it may be optional, or one of many by name."""
    for key in path:
        field = model.model_fields.get(str(key))
        model = next(_sections(field.annotation), model) if field else model  # no field: the name of one
    return model


def _sections(annotation: Any) -> Iterator[type[Section]]:
    """The sections in a type, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
