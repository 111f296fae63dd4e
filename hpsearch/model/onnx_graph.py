"""A model's network as ONNX, from prepared features to predictions, for use without hpsearch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import HpsearchError
from hpsearch.model.files import output_of
from hpsearch.model.model import Model
from hpsearch.records import EVEN, Task
from hpsearch.train.layers import PREFIX, Layer

INPUT, SHARES, NUMBER = "features", "probabilities", "prediction"
"""Names of the input, [n, features] float32, and of the output: [n, classes], or [n] numbers."""

OPSET, IR_VERSION = 17, 8
"""Old versions, so that old programs can read the file: nothing newer is needed."""


def check_onnx() -> None:
    """Check that ONNX can be written.

    Raises:
        HpsearchError: the package for it is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise HpsearchError(
            'ONNX files need the package onnx, which is not installed: pip install "hpsearch[onnx]"'
        ) from None


class _Graph:
    """Nodes one after another, each with one input that is the output of the one before."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = INPUT

    def add(self, operator: str, *others: str, first: str | None = None, **attributes: Any) -> str:
        """A node of what came last, or of `first`, and other values; returns the name of its output."""
        from onnx import helper

        name = f"{operator.lower()}.{len(self.nodes)}"
        inputs = [self.last if first is None else first, *others]
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.last = name
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(f"number.{len(self.constants)}", np.array(value, np.float32))

    def shape(self, *sizes: int) -> str:
        return self.constant(f"shape.{len(self.constants)}", np.array(sizes, np.int64))


def onnx_bytes(model: Model) -> bytes:
    """The network and the function on its outputs, as an ONNX file.

    Raises:
        HpsearchError: the package onnx is not installed.
    """
    check_onnx()
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    for place, layer in enumerate(model.layers):
        arrays = {
            name: graph.constant(f"{PREFIX}.{place}.{name}", model.arrays[f"{PREFIX}.{place}.{name}"])
            for name in layer.shapes()
        }
        _add_layer(graph, layer, arrays)
    name = SHARES if model.classes else NUMBER
    _add_output(graph, model)
    graph.add("Identity")
    graph.nodes[-1].output[0] = name
    shape: list[str | int | None] = ["n", len(model.classes)] if model.classes else ["n"]
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "hpsearch",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", model.form.size])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="hpsearch",
    )
    helper.set_model_props(made, dict(_properties(model)))
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString()
    return content


def _properties(model: Model) -> Iterator[tuple[str, str]]:
    """The output is probabilities whatever the threshold is; who decides by them finds it here."""
    yield "task", str(model.task)
    yield "target", json.dumps(model.target)
    if model.classes:
        yield "classes", json.dumps(model.classes)
    if model.threshold != EVEN:
        yield "threshold", repr(model.threshold)


def _add_layer(graph: _Graph, layer: Layer, arrays: dict[str, str]) -> None:
    match layer.module:
        case "Linear":
            graph.add("Gemm", *arrays.values(), transB=1)
        case "BatchNorm1d":
            graph.add("BatchNormalization", *arrays.values(), epsilon=1e-5)
        case "PReLU":
            graph.add("PRelu", *arrays.values())
        case "LeakyReLU" | "ELU":
            operator = {"LeakyReLU": "LeakyRelu", "ELU": "Elu"}[layer.module]
            graph.add(operator, alpha=float(layer.arguments[0]))
        case "SiLU":
            z = graph.last
            graph.add("Sigmoid")
            graph.add("Mul", z)
        case "GELU":  # ONNX has it only lately: z · (1 + erf(z/√2)) / 2
            z = graph.last
            graph.add("Div", graph.number(math.sqrt(2)))
            graph.add("Erf")
            graph.add("Add", graph.number(1))
            graph.add("Mul", z)
            graph.add("Div", graph.number(2))
        case "MaxPool1d":
            # ONNX's pools need a channel: [n, units · pieces] → [n, units, pieces] → [n, units]
            pieces = int(layer.arguments[0])
            graph.add("Reshape", graph.shape(0, -1, pieces))
            graph.add("ReduceMax", axes=[2], keepdims=0)
        case other:
            graph.add({"ReLU": "Relu"}.get(other, other))


def _add_output(graph: _Graph, model: Model) -> None:
    """From raw outputs to probabilities, or to numbers in the target's own unit."""
    output = output_of(model)
    if model.task is Task.BINARY:
        o = graph.last
        second = graph.add("Sigmoid")
        graph.add("Neg", first=o)
        first = graph.add("Sigmoid")
        graph.add("Concat", second, first=first, axis=1)
    elif output == "softmax":
        graph.add("Softmax", axis=1)
    else:
        graph.add("Reshape", graph.shape(-1))
        if output != "identity":
            graph.add({"softplus": "Softplus", "relu": "Relu"}[output])
        graph.add("Mul", graph.number(model.goal.std))
        graph.add("Add", graph.number(model.goal.mean))
