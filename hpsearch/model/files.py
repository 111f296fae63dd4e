"""Models as files: numbers as safetensors, everything else as JSON beside them. Neither can hold code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from hpsearch.data import Image
from hpsearch.data.columns import ISO, Columns, Reading
from hpsearch.data.dataset import PixelType
from hpsearch.data.paths import check_regular
from hpsearch.errors import HpsearchError
from hpsearch.model.model import Model
from hpsearch.records import EVEN, Task
from hpsearch.study.file import FITTING_LOSSES, FITTING_METRICS
from hpsearch.study.schema import TaskName
from hpsearch.train.layers import MODULES, Layer, shapes_of
from hpsearch.train.predicting import Goal
from hpsearch.train.problem import Floats

FORMAT, VERSION = "hpsearch.model", 1
ABOUT, WEIGHTS, ONNX = "model.json", "model.safetensors", "model.onnx"

OUTPUTS = {
    Task.BINARY: {"sigmoid": "identity"},
    Task.MULTICLASS: {"softmax": "identity"},
    Task.REGRESSION: {"identity": "identity"},
    Task.POSITIVE_REGRESSION: {"softplus": "softplus", "relu": "relu"},
}
"""By task: the functions that turn raw outputs into predictions (in a binary task, the second class's
probability), and the representation that metrics take."""

_AGAIN = "Export the model again"
_MOST_SHOWN = 60


# -- writing -------------------------------------------------------------------------------------


def model_files(model: Model) -> dict[str, bytes]:
    """The model's files by name; the last one has the checksum of the first."""
    from safetensors.numpy import save

    weights: bytes = save(dict(model.arrays))
    document = model_document(model, weights)
    return {WEIGHTS: weights, ABOUT: _text({**document, "sha256": checksum_of(document)}).encode()}


def checksum_of(document: Mapping[str, Any]) -> str:
    """Of all keys but the checksum's own, whatever their order and the blanks between them."""
    values = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def output_of(model: Model) -> str:
    """The function on its raw outputs: softmax, sigmoid, identity, softplus or relu."""
    fitting = OUTPUTS[model.task].items()
    return next(name for name, means in fitting if means == model.goal.representation)


def model_document(model: Model, weights: bytes) -> dict[str, Any]:
    """The model without its weights, as `hpsearch.model/1`."""
    goal, form = model.goal, model.form
    softplus = goal.representation == "softplus"
    # Left out at 0.5, so that models that were written before it was known stay equal.
    threshold = {} if model.threshold == EVEN else {"threshold": model.threshold}
    return {
        "format": f"{FORMAT}/{VERSION}",
        "task": str(goal.task),
        "target": {"name": model.target, "mean": goal.mean, "std": goal.std},
        "classes": list(model.classes),
        "output": output_of(model),
        "loss": goal.loss.removeprefix("softplus_") if softplus else goal.loss,
        "metric": goal.metric,
        **threshold,
        "preprocessing": _table(form) if isinstance(form, Columns) else _images(form),
        "ignored_columns": list(model.ignored),
        "network": {
            "layers": [{"module": each.module, "arguments": list(each.arguments)} for each in model.layers],
            "tensors": {name: list(shape) for name, shape in shapes_of(model.layers).items()},
        },
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()},
        "provenance": model.about,
    }


def _table(columns: Columns) -> dict[str, Any]:
    return {
        "kind": "table",
        "features": list(columns.features),
        "numeric": [
            {"column": column, "median": median, "mean": mean, "scale": scale}
            for column, median, mean, scale in zip(
                columns.numeric, columns.medians, columns.means, columns.scales, strict=True
            )
        ],
        "text": [
            {"column": column, "categories": list(own)}
            for column, own in zip(columns.textual, columns.categories, strict=True)
        ],
        "constant": list(columns.constant),
        "dates": list(columns.dates),
        "missing_indicators": list(columns.flagged),
        "readings": {name: asdict(reading) for name, reading in columns.readings},
    }


def _images(image: Image) -> dict[str, Any]:
    colour = "grey" if image.channels == 1 else "rgb"
    return {"kind": "pictures", **asdict(image), "channels": image.channels, "colour": colour}


def _text(document: dict[str, Any]) -> str:
    """Readable JSON, in ASCII, so that no terminal obeys what a name contains."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


# -- reading -------------------------------------------------------------------------------------


class _Part(BaseModel):
    """An object in model.json. Unknown keys are ignored: a later release may add some."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def _encodable(text: str) -> str:
    text.encode()  # JSON can hold half of a surrogate pair, which no file can
    return text


_Text = Annotated[str, AfterValidator(_encodable)]


_LARGEST = float(np.finfo(np.float32).max)  # predictions are computed in single precision


class _Target(_Part):
    name: _Text
    mean: float = Field(ge=-_LARGEST, le=_LARGEST)
    std: PositiveFloat = Field(le=_LARGEST)


class _Numeric(_Part):
    column: _Text
    median: float
    mean: float
    scale: PositiveFloat


class _Textual(_Part):
    column: _Text
    categories: list[_Text]


class _Reading(_Part):
    kind: Literal["number", "boolean", "category", "date"]
    decimal: Literal[".", ","] = "."
    group: _Text = ""
    unit: _Text = ""
    missing: list[_Text] = []
    exact: bool = False
    format: _Text = ISO


class _Table(_Part):
    kind: Literal["table"]
    features: list[_Text]
    numeric: list[_Numeric]
    text: list[_Textual]
    constant: list[NonNegativeInt]
    dates: list[_Text] = []
    missing_indicators: list[_Text] = []
    readings: dict[_Text, _Reading] = {}


class _Images(_Part):
    kind: Literal["pictures"]
    height: PositiveInt
    width: PositiveInt
    mean: list[float]
    std: list[PositiveFloat]
    channels: PositiveInt
    dtype: PixelType = "uint8"
    low: float = 0.0
    high: float = 255.0
    levels: PositiveInt | None = 256


class _Layer(_Part):
    module: str
    arguments: list[Any]


class _Network(_Part):
    layers: list[_Layer]


class _Weights(_Part):
    file: _Text
    sha256: _Text


class _About(_Part):
    """model.json, but for its format."""

    task: TaskName
    target: _Target
    classes: list[_Text]
    output: str
    loss: str
    metric: str
    threshold: float = Field(EVEN, gt=0, lt=1)
    preprocessing: Annotated[_Table | _Images, Field(discriminator="kind")]
    ignored_columns: list[_Text]
    network: _Network
    weights: _Weights
    provenance: dict[str, Any]
    sha256: str | None = None


_KINDS: dict[str, Any] = {
    **dict.fromkeys(MODULES, tuple[()]),
    **dict.fromkeys(("BatchNorm1d", "PReLU", "MaxPool1d"), tuple[PositiveInt]),
    **dict.fromkeys(("LeakyReLU", "ELU"), tuple[float]),
    "Linear": tuple[PositiveInt, PositiveInt] | tuple[PositiveInt, PositiveInt, bool],
}
_ARGUMENTS = {name: TypeAdapter(kind, config=_Part.model_config) for name, kind in _KINDS.items()}
"""What each torch.nn module is made with."""

_EXPECTED = {
    "string_type": "a string",
    "value_error": "a string of valid Unicode",
    "float_type": "a number",
    "finite_number": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number from {ge:g} up",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number up to {le:g}",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "one of {expected}",
    "union_tag_invalid": "one of the kinds {expected_tags}",
    "union_tag_not_found": "an object with a kind",
}
"""Our words for pydantic's error types."""


def load_model(path: Path | str) -> Model:
    """The model that `hpsearch export` wrote.

    Args:
        path: of its folder, or of the JSON file in it.

    Raises:
        HpsearchError: not a model, one of a newer version, or one whose files are damaged.
    """
    path = Path(path)
    file = path / ABOUT if os.path.isdir(path) else path
    try:
        document = json.loads(_bytes(file))
    except (ValueError, RecursionError) as error:
        raise HpsearchError(f"{file}: expected an hpsearch model in JSON; found {error}. {_AGAIN}") from None
    _check_format(file, document)
    about = _about(file, document)
    task, form = Task(about.task), _form(file, about.preprocessing)
    for key, fitting in (
        ("output", OUTPUTS[task]),
        ("loss", FITTING_LOSSES[task]),
        ("metric", FITTING_METRICS[task]),
    ):
        if (found := getattr(about, key)) not in fitting:
            raise _error(file, key, f"one of {', '.join(fitting)}", found)
    if about.threshold != EVEN and task is not Task.BINARY:
        raise _error(file, "threshold", f"none in a {task} task", about.threshold)
    classes = tuple(about.classes)
    counts = {Task.BINARY: len(classes) == 2, Task.MULTICLASS: len(classes) > 1}
    if len(set(classes)) != len(classes) or not counts.get(task, not classes):
        raise _error(file, "classes", f"the different classes of a {task} task", classes)
    layers = _layers(file, about.network, form.size, len(classes) if task is Task.MULTICLASS else 1)
    goal = Goal(
        task,
        about.target.mean,
        about.target.std,
        f"softplus_{about.loss}" if about.output == "softplus" else about.loss,
        about.metric,
        OUTPUTS[task][about.output],  # type: ignore[arg-type]
    )
    arrays = _arrays(file, about.weights, shapes_of(layers))
    ignored = tuple(about.ignored_columns)
    if about.sha256 not in (None, checksum_of(document)):  # last, so that what is plainly wrong is named
        raise HpsearchError(f"{file}: the content does not match its checksum: it was changed. {_AGAIN}")
    return Model(
        goal, about.target.name, classes, form, ignored, layers, arrays, about.provenance, about.threshold
    )


def _error(file: Path, where: str, expected: str, found: Any) -> HpsearchError:
    return HpsearchError(f"{file}: {where}: expected {expected}; found {_shown(found)}. {_AGAIN}")


def _shown(found: Any) -> str:
    shown = json.dumps(found)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"


def _bytes(file: Path) -> bytes:
    try:
        check_regular(file)
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise HpsearchError(
            f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}; expected the folder "
            f"written by hpsearch export, or its {ABOUT}"
        ) from None


def _check_format(file: Path, document: Any) -> None:
    found = document.get("format") if isinstance(document, dict) else None
    kind, _, version = str(found).partition("/")
    if found is None or kind != FORMAT or not version.isdecimal():
        raise HpsearchError(f'{file}: expected the format "{FORMAT}/{VERSION}"; found {_shown(found)}')
    if int(version) != VERSION:
        raise HpsearchError(
            f"{file}: expected the format {FORMAT}/{VERSION}; found {_shown(found)}, of another version of "
            "hpsearch: load it with that one, or upgrade"
        )


def _about(file: Path, document: Any) -> _About:
    """The document, checked; complains about the first missing key or wrong type."""
    try:
        return _About.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    kinds = ("table", "pictures")  # pydantic names the chosen one in the place
    keys = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"] if key not in kinds)
    where = "".join(keys).removeprefix(".")
    if first["type"] == "missing":
        raise HpsearchError(f"{file}: {where} is missing. {_AGAIN}")
    expected = _EXPECTED.get(first["type"], first["msg"]).format(**first.get("ctx", {})).replace("'", "")
    raise _error(file, where, expected, first["input"])


def _form(file: Path, about: _Table | _Images) -> Columns | Image:
    if isinstance(about, _Images):
        if not len(about.mean) == len(about.std) == about.channels or about.channels not in (1, 3):
            found = about.model_dump()
            raise _error(file, "preprocessing", "mean and std of one channel or of three", found)
        mean, std = tuple(about.mean), tuple(about.std)
        return Image(about.height, about.width, mean, std, about.dtype, about.low, about.high, about.levels)
    columns = Columns(
        tuple(each.column for each in about.numeric),
        tuple(each.median for each in about.numeric),
        tuple(each.mean for each in about.numeric),
        tuple(each.scale for each in about.numeric),
        tuple(each.column for each in about.text),
        tuple(tuple(each.categories) for each in about.text),
        tuple(about.constant),
        tuple(about.dates),
        tuple(about.missing_indicators),
        tuple(
            (name, Reading(**{**each.model_dump(), "missing": tuple(each.missing)}))
            for name, each in about.readings.items()
        ),
    )
    if tuple(about.features) != columns.features:
        expected = "the features that the columns give"
        raise _error(file, "preprocessing.features", expected, about.features)
    if max(about.constant, default=-1) >= columns.size:
        raise _error(file, "preprocessing.constant", "places of features", about.constant)
    return columns


def _layers(file: Path, network: _Network, inputs: int, outputs: int) -> tuple[Layer, ...]:
    """The layers, checked: each takes what the one before gives, from features to outputs."""
    units, layers = inputs, []
    for place, each in enumerate(network.layers):
        if each.module not in MODULES:
            where = f"network.layers[{place}].module"
            raise _error(file, where, f"one of {', '.join(sorted(MODULES))}", each.module)
        where = f"network.layers[{place}].arguments"
        try:
            arguments = _ARGUMENTS[each.module].validate_python(tuple(each.arguments))
        except ValidationError:
            raise _error(file, where, f"the arguments of torch.nn.{each.module}", each.arguments) from None
        layers.append(Layer(each.module, arguments))
        first = arguments[0] if arguments else units
        fits = {
            "Linear": first == units,
            "BatchNorm1d": first == units,
            "PReLU": first in (1, units),
            "MaxPool1d": units % max(1, first) == 0,
        }
        if not fits.get(each.module, True):
            raise _error(file, where, f"a layer for {units:,} units", each.arguments)
        if each.module == "Linear":
            units = arguments[1]
        elif each.module == "MaxPool1d":
            units //= first
    if units != outputs or not layers or layers[-1].module != "Linear":
        found = [each.module for each in layers]
        raise _error(file, "network.layers", f"layers that end in a Linear with {outputs:,} outputs", found)
    return tuple(layers)


def _arrays(file: Path, own: _Weights, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if Path(own.file).name != own.file:  # a path could lead to any file of the reader's
        raise _error(file, "weights.file", "the name of a file beside this one", own.file)
    weights = file.parent / own.file
    content = _bytes(weights)
    expected, found = own.sha256, hashlib.sha256(content).hexdigest()
    if expected != found:
        raise HpsearchError(
            f"{weights}: expected the weights written with {file.name} (sha256 {expected[:12]}…); found "
            f"different or damaged ones ({found[:12]}…). Copy both files again, or export the model again"
        )
    try:
        arrays: dict[str, Floats] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise HpsearchError(f"{weights}: not a safetensors file ({error}). {_AGAIN}") from None
    shapes_there = {key: array.shape for key, array in arrays.items()}
    if shapes_there != shapes or any(array.dtype != np.float32 for array in arrays.values()):
        wrong = next(
            (key for key in sorted({*shapes_there, *shapes}) if shapes_there.get(key) != shapes.get(key)), ""
        )
        about = (
            f'"{wrong}" of the shape {shapes.get(wrong)}; found {shapes_there.get(wrong)}'
            if wrong
            else "float32"
        )
        raise HpsearchError(f"{weights}: expected the arrays of the network, {about}. {_AGAIN}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise HpsearchError(f"{weights}: expected finite weights; found NaN or infinite ones. {_AGAIN}")
    return arrays
