"""Models as files: numbers as safetensors, everything else as JSON beside them. Neither can hold code."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data import Image
from hpsearch.data.columns import Columns
from hpsearch.errors import HpsearchError
from hpsearch.model.document import Node
from hpsearch.model.model import Model
from hpsearch.records import Task
from hpsearch.study.file import FITTING_LOSSES, FITTING_METRICS
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
"""What raw outputs are put through, by task (of binary it is the second class's probability), and the
representation that metrics take them in."""

_AGAIN = "Export the model again"


# -- writing -------------------------------------------------------------------------------------


def model_files(model: Model) -> dict[str, bytes]:
    """The model's files by name; the last one has the checksum of the first."""
    from safetensors.numpy import save

    weights: bytes = save(dict(model.arrays))
    return {WEIGHTS: weights, ABOUT: _text(model_document(model, weights)).encode()}


def output_of(model: Model) -> str:
    """What its raw outputs are put through: softmax, sigmoid, identity, softplus or relu."""
    fitting = OUTPUTS[model.task].items()
    return next(name for name, means in fitting if means == model.goal.representation)


def model_document(model: Model, weights: bytes) -> dict[str, Any]:
    """The model but for its weights as `hpsearch.model/1`."""
    goal, form = model.goal, model.form
    softplus = goal.representation == "softplus"
    return {
        "format": f"{FORMAT}/{VERSION}",
        "task": str(goal.task),
        "target": {"name": model.target, "mean": goal.mean, "std": goal.std},
        "classes": list(model.classes),
        "output": output_of(model),
        "loss": goal.loss.removeprefix("softplus_") if softplus else goal.loss,
        "metric": goal.metric,
        "preprocessing": _table(form) if isinstance(form, Columns) else _pictures(form),
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
    }


def _pictures(image: Image) -> dict[str, Any]:
    colour = "grey" if image.channels == 1 else "rgb"
    return {"kind": "pictures", **asdict(image), "channels": image.channels, "colour": colour}


def _text(document: dict[str, Any]) -> str:
    """JSON to be read by people, in ASCII, so that no terminal obeys what a name contains."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


# -- reading -------------------------------------------------------------------------------------


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
        raise HpsearchError(
            f"{file}: expected a model of hpsearch, in JSON; found {error}. {_AGAIN}"
        ) from None
    root = Node(file, document, _AGAIN)
    _check_format(file, document)
    layers = tuple(_layer(node) for node in root["network"]["layers"].items())
    task = Task(root["task"].one_of(list(Task)))
    classes = root["classes"].texts()
    form = _form(root["preprocessing"])
    _check_units(root, layers, form.size, max(1, len(classes)) if task is Task.MULTICLASS else 1)
    if len(set(classes)) != len(classes) or bool(classes) != (task in (Task.BINARY, Task.MULTICLASS)):
        raise root["classes"].error(f"the different classes of a {task} task")
    return Model(
        _goal(root, task),
        root["target"]["name"].text(),
        classes,
        form,
        root["ignored_columns"].texts(),
        layers,
        _arrays(file, root, shapes_of(layers)),
        root["provenance"].mapping(),
    )


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise HpsearchError(
            f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}; expected the folder that "
            f"hpsearch export has written, or its {ABOUT}"
        ) from None


def _check_format(file: Path, document: Any) -> None:
    found = document.get("format") if isinstance(document, dict) else None
    kind, _, version = str(found).partition("/")
    if found is None or kind != FORMAT or not version.isdecimal():
        raise HpsearchError(f'{file}: expected the format "{FORMAT}/{VERSION}"; found {json.dumps(found)}')
    if int(version) != VERSION:
        raise HpsearchError(
            f"{file}: expected the format {FORMAT}/{VERSION}; found {found}, of another version of hpsearch: "
            "load it with that one, or upgrade"
        )


def _goal(root: Node, task: Task) -> Goal:
    means = OUTPUTS[task]
    output = root["output"].one_of(list(means))
    loss = root["loss"].one_of(list(FITTING_LOSSES[task]))
    return Goal(
        task,
        root["target"]["mean"].number(),
        root["target"]["std"].number(above=0),
        f"softplus_{loss}" if output == "softplus" else loss,
        root["metric"].one_of(list(FITTING_METRICS[task])),
        means[output],  # type: ignore[arg-type]
    )


def _form(node: Node) -> Columns | Image:
    if node["kind"].one_of(["table", "pictures"]) == "pictures":
        channels = int(node["channels"].whole(1))
        mean, std = ([each.number() for each in node[key].items()] for key in ("mean", "std"))
        if not len(mean) == len(std) == channels or channels not in (1, 3) or min(std) <= 0:
            raise node.error("mean and std of one channel or of three")
        return Image(node["height"].whole(1), node["width"].whole(1), tuple(mean), tuple(std))
    numeric, text = node["numeric"].items(), node["text"].items()
    columns = Columns(
        tuple(each["column"].text() for each in numeric),
        tuple(each["median"].number() for each in numeric),
        tuple(each["mean"].number() for each in numeric),
        tuple(each["scale"].number(above=0) for each in numeric),
        tuple(each["column"].text() for each in text),
        tuple(each["categories"].texts() for each in text),
        tuple(each.whole(0) for each in node["constant"].items()),
    )
    if node["features"].texts() != columns.features:
        raise node["features"].error("the features that the columns give")
    if max(columns.constant, default=-1) >= len(columns.features):
        raise node["constant"].error("places of features")
    return columns


def _layer(node: Node) -> Layer:
    name = node["module"].one_of(sorted(MODULES))
    places = node["arguments"].items()
    arguments: tuple[float | int | bool, ...]
    if name in ("LeakyReLU", "ELU"):
        arguments = tuple(each.number() for each in places)
    else:
        arguments = tuple(each.whole(1) for each in places[:2])
        if name == "Linear" and len(places) == 3:
            arguments = (*arguments, places[2].boolean())
    expected = {"Linear": (2, 3), "ReLU": (0,), "GELU": (0,), "SiLU": (0,), "Tanh": (0,), "Sigmoid": (0,)}
    if len(places) not in expected.get(name, (1,)):
        raise node["arguments"].error(f"those of torch.nn.{name}")
    return Layer(name, arguments)


def _check_units(root: Node, layers: tuple[Layer, ...], inputs: int, outputs: int) -> None:
    """Check that each layer takes what the one before gives, from the features to the outputs."""
    units = inputs
    for layer, node in zip(layers, root["network"]["layers"].items(), strict=True):
        first = int(layer.arguments[0]) if layer.arguments else units
        fits = {
            "Linear": first == units,
            "BatchNorm1d": first == units,
            "PReLU": first in (1, units),
            "MaxPool1d": units % max(1, first) == 0,
        }
        if not fits.get(layer.module, True):
            raise node["arguments"].error(f"a layer for {units:,} units")
        if layer.module == "Linear":
            units = int(layer.arguments[1])
        elif layer.module == "MaxPool1d":
            units //= first
    if units != outputs or not layers or layers[-1].module != "Linear":
        raise root["network"]["layers"].error(f"layers that end in a Linear one of {outputs:,} outputs")


def _arrays(file: Path, root: Node, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = root["weights"]["file"].text()
    if Path(name).name != name:
        raise root["weights"]["file"].error("the name of a file beside this one")
    weights = file.parent / name
    content = _bytes(weights)
    expected, found = root["weights"]["sha256"].text(), hashlib.sha256(content).hexdigest()
    if expected != found:
        raise HpsearchError(
            f"{weights}: expected the weights that {file.name} was written with (sha256 {expected[:12]}…); "
            f"found others, or damaged ones ({found[:12]}…). Copy both files again, or export the model again"
        )
    try:
        arrays: dict[str, Floats] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise HpsearchError(f"{weights}: not a safetensors file ({error}). {_AGAIN}") from None
    own = {key: array.shape for key, array in arrays.items()}
    if own != shapes or any(array.dtype != np.float32 for array in arrays.values()):
        wrong = next((key for key in sorted({*own, *shapes}) if own.get(key) != shapes.get(key)), "")
        about = f'"{wrong}" of the shape {shapes.get(wrong)}; found {own.get(wrong)}' if wrong else "float32"
        raise HpsearchError(f"{weights}: expected the arrays of the network, {about}. {_AGAIN}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise HpsearchError(f"{weights}: expected finite weights; found others. {_AGAIN}")
    return arrays
