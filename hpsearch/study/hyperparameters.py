"""Every hyper-parameter that hpsearch knows: one field of `Configuration` each.

To add one, add a field here and use it in `train/`; study files, complaints, documentation, storage
and reports read the fields' metadata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["float", "int", "bool", "name", "layers"]

LEAKY_SLOPE = 0.01
"""Slope of leaky ReLU below 0."""

ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "none")

Value = float | int | bool | str


@dataclass(frozen=True)
class HyperParameter:
    """What one hyper-parameter may be: its kind, its default and its bounds.

    low and high are inclusive unless `above` or `below` says that the bound itself is excluded.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    names: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        return self.kind in ("float", "int")

    @property
    def expected(self) -> str:
        """The values that are accepted, in words."""
        if self.kind == "name":
            return "one of " + ", ".join(self.names)
        if self.kind == "bool":
            return "true or false"
        if self.kind == "layers":
            return "a list of layer widths such as [100, 50, 50]"
        noun = "a whole number" if self.kind == "int" else "a number"
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", self.low),
                ("above", self.above),
                ("at most", self.high),
                ("below", self.below),
            )
            if bound is not None
        ]
        return f"{noun} {' and '.join(bounds)}".rstrip()

    def accepts(self, value: Any) -> bool:
        """Whether `value` is a legal single value."""
        if self.kind == "name":
            return value in self.names
        if self.kind == "bool":
            return isinstance(value, bool)
        if self.kind == "layers":
            return isinstance(value, (list, tuple)) and all(
                isinstance(w, int) and not isinstance(w, bool) and w >= 1 for w in value
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if self.kind == "int" and not isinstance(value, int):
            return False
        return (
            value - value == 0
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def normal(self, value: Any) -> Value:
        """The one form in which an accepted value is kept: layer lists as "100-50-50"."""
        if self.kind == "layers":
            return "-".join(str(width) for width in value)
        return float(value) if self.kind == "float" else value


def _parameter(default: Any, kind: Kind, doc: str, **bounds: Any) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "doc": doc, **bounds})


@dataclass(frozen=True)
class Configuration:
    """All hyper-parameters of one trial."""

    learning_rate: float = _parameter(0.01, "float", "step size ε of gradient descent", above=0)
    batch_size: int = _parameter(32, "int", "rows in a mini-batch", low=1)
    momentum: float = _parameter(
        0.9, "float", "ρ in v ← ρv + g, θ ← θ − εv; 0 is plain gradient descent", low=0, below=1
    )
    nesterov: bool = _parameter(False, "bool", "Nesterov's momentum: θ ← θ − ε(g + ρv)")
    weight_decay: float = _parameter(0.0, "float", "λ: adds λθ to the gradient", low=0)
    depth: int = _parameter(
        2, "int", "linear layers, the last one included; depth 1 is a linear model", low=1, high=64
    )
    width: int = _parameter(64, "int", "units in each hidden layer", low=1)
    hidden: str | None = _parameter(
        None, "layers", "hidden layers' widths, instead of depth and width; [] is a linear model"
    )
    activation: str = _parameter("relu", "name", "non-linearity after each hidden layer", names=ACTIVATIONS)
    init_scale: float = _parameter(
        1.0, "float", "factor on the initial weights (torch's default initialisation)", above=0
    )

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths of the hidden layers, from the input's side."""
        if self.hidden is None:
            return (self.width,) * (self.depth - 1)
        return tuple(int(width) for width in self.hidden.split("-")) if self.hidden else ()


HYPER_PARAMETERS: Mapping[str, HyperParameter] = {
    field.name: HyperParameter(name=field.name, default=field.default, **field.metadata)
    for field in dataclasses.fields(Configuration)
}
