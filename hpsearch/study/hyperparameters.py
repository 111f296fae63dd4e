"""Every hyper-parameter that hpsearch knows: one entry of `HYPER_PARAMETERS` each.

To add one, add a field to `Configuration` and an entry here, and use it in the stacked trainer
(`train/optimizer.py` or `train/hidden.py`) and in the reference (`train/solo.py`); study files, complaints,
documentation, storage and reports read the entries. Until `train/native/interface.py` has it, too, torch
trains the trials that set it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["float", "int", "bool", "name", "layers"]

ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "maxout",
    "none",
)
OPTIMIZERS = ("sgd", "adam", "adamw")
ADAPTIVE = ("adam", "adamw")
SCHEDULES = ("constant", "step", "cosine")
INITIALISATIONS = ("default", "kaiming", "xavier", "normal", "zeros")

MOST_DEPTH = 64
MOST_LAYER_WIDTHS = 6

Value = float | int | bool | str


@dataclass(frozen=True)
class HyperParameter:
    """What one hyper-parameter may be: its kind, its default and its bounds.

    low and high are inclusive unless `above` or `below` says that the bound itself is excluded.
    field: of `Configuration`, that it sets. applies: another hyper-parameter and the values of it for which
    this one means anything; None for all. A default of None leaves the field to the general hyper-parameter
    that sets it, too. words: values besides numbers.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    field: str
    applies: tuple[str, tuple[str | int, ...]] | None = None
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

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
        noun = " or ".join([*(f'"{word}"' for word in self.words), noun])
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
        if isinstance(value, str):
            return value in self.words
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

    def matters(self, values: Mapping[str, Any]) -> bool:
        """Whether it means anything to a trial with these hyper-parameters."""
        return self.applies is None or values.get(self.applies[0]) in self.applies[1]


@dataclass(frozen=True)
class Configuration:
    """All hyper-parameters of one trial, as training takes them.

    alpha: of its activation (slope below 0 of leaky ReLU, ELU's α, where PReLU's slopes begin).
    """

    learning_rate: float = 0.01
    batch_size: int | Literal["all"] = 32
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    step_factor: float = 0.1
    step_epochs: int = 10
    depth: int = 2
    width: int = 64
    width1: int | None = None
    width2: int | None = None
    width3: int | None = None
    width4: int | None = None
    width5: int | None = None
    width6: int | None = None
    hidden: str | None = None
    activation: str = "relu"
    alpha: float = 0.01
    slopes: str = "layer"
    pieces: int = 2
    init: str = "default"
    init_scale: float = 1.0
    bias: bool = True
    batch_norm: bool = False
    dropout: float = 0.0

    @property
    def layers(self) -> tuple[int, ...]:
        """Widths of the hidden layers, from the input's side."""
        if self.hidden is None:
            own = self.layer_widths
            return tuple(
                own[at] or self.width if at < len(own) else self.width for at in range(self.depth - 1)
            )
        return tuple(int(width) for width in self.hidden.split("-")) if self.hidden else ()

    @property
    def layer_widths(self) -> tuple[int | None, ...]:
        """Widths of hidden layers that have one of their own, from the input's side; None for `width`."""
        return self.width1, self.width2, self.width3, self.width4, self.width5, self.width6

    @property
    def fan(self) -> int:
        """Linear outputs for each hidden unit: maxout takes the largest of several."""
        return self.pieces if self.activation == "maxout" else 1

    @property
    def linear(self) -> bool:
        """Whether its network is a linear function of the input, however deep."""
        return not self.layers or self.activation == "none"


def _of_optimisation() -> list[HyperParameter]:
    sgd, adaptive = ("optimizer", ("sgd",)), ("optimizer", ADAPTIVE)
    return [
        _of("learning_rate", "float", "step size ε of gradient descent", above=0),
        _of(
            "batch_size",
            "int",
            'rows in a mini-batch; "all" is gradient descent on the whole training set',
            low=1,
            words=("all",),
        ),
        _of(
            "optimizer",
            "name",
            "sgd, Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019)",
            names=OPTIMIZERS,
        ),
        _of(
            "momentum",
            "float",
            "ρ in v ← ρv + g, θ ← θ − εv; 0 is plain gradient descent",
            applies=sgd,
            low=0,
            below=1,
        ),
        _of("nesterov", "bool", "Nesterov's momentum: θ ← θ − ε(g + ρv)", applies=sgd),
        _of("beta1", "float", "Adam's β₁, decay of the mean of gradients", applies=adaptive, low=0, below=1),
        _of("beta2", "float", "Adam's β₂, decay of the mean of squares", applies=adaptive, low=0, below=1),
        _of("epsilon", "float", "added to the root in Adam's denominator", applies=adaptive, above=0),
        _of("weight_decay", "float", "λ: adds λθ to the gradient; AdamW: θ ← θ − ελθ", low=0),
        *(_spaced(optimizer, key) for optimizer in OPTIMIZERS for key in ("learning_rate", "weight_decay")),
        _of("schedule", "name", "how the learning rate changes during training", names=SCHEDULES),
        _of("warmup", "float", "epochs over which the learning rate rises linearly from near 0", low=0),
        _of(
            "step.factor",
            "float",
            "schedule step: factor on the learning rate at each step",
            "step_factor",
            ("schedule", ("step",)),
            above=0,
            high=1,
        ),
        _of(
            "step.epochs",
            "int",
            "schedule step: epochs between steps",
            "step_epochs",
            ("schedule", ("step",)),
            low=1,
        ),
    ]


def _of_networks() -> list[HyperParameter]:
    return [
        _of(
            "depth",
            "int",
            "linear layers, the last one included; depth 1 is a linear model",
            low=1,
            high=MOST_DEPTH,
        ),
        _of("width", "int", "units in each hidden layer", low=1),
        *(_layer_width(layer) for layer in range(1, 1 + MOST_LAYER_WIDTHS)),
        _of("hidden", "layers", "hidden layers' widths, instead of depth and width; [] is a linear model"),
        _of("activation", "name", "non-linearity after each hidden layer", names=ACTIVATIONS),
        _alpha("leaky_relu", 0.01, "leaky ReLU's slope below 0", low=0, below=1),
        _alpha("prelu", 0.25, "initial value of PReLU's learned slopes below 0 (He et al. 2015)"),
        _of(
            "prelu.slopes",
            "name",
            "PReLU: one learned slope a layer, or one a unit",
            "slopes",
            ("activation", ("prelu",)),
            names=("layer", "unit"),
        ),
        _alpha("elu", 1.0, "ELU's α: it goes to −α", above=0),
        _of(
            "maxout.pieces",
            "int",
            "maxout: each unit takes the largest of this many linear pieces (Goodfellow et al. 2013)",
            "pieces",
            ("activation", ("maxout",)),
            low=2,
        ),
        _of(
            "init",
            "name",
            "initial weights: torch's default, Kaiming's normal √(2/inputs), Xavier's uniform "
            "√(6/(inputs + outputs)), normal √(1/inputs), or zeros",
            names=INITIALISATIONS,
        ),
        _of("init_scale", "float", "factor on the initial weights", above=0),
        _of("bias", "bool", "whether linear layers learn biases"),
        _of("batch_norm", "bool", "batch normalisation before each activation (Ioffe & Szegedy 2015)"),
        _of("dropout", "float", "share of hidden units dropped in training", low=0, below=1),
    ]


def _of(
    name: str,
    kind: Kind,
    doc: str,
    field: str | None = None,
    applies: tuple[str, tuple[str | int, ...]] | None = None,
    **bounds: Any,
) -> HyperParameter:
    field = field or name
    default = getattr(Configuration, field)
    return HyperParameter(name, kind, default, doc, field, applies, **bounds)


def _spaced(optimizer: str, key: str) -> HyperParameter:
    """A hyper-parameter of one optimiser alone: 0.1 means something else to SGD than to Adam."""
    doc, applies = f"{key} of {optimizer} alone", ("optimizer", (optimizer,))
    above, low = (0, None) if key == "learning_rate" else (None, 0)
    return HyperParameter(f"{optimizer}.{key}", "float", None, doc, key, applies, low=low, above=above)


def _layer_width(layer: int) -> HyperParameter:
    """The width of one hidden layer; it means nothing to networks that are not so deep."""
    return HyperParameter(
        f"layer{layer}.width",
        "int",
        None,
        f"units in hidden layer {layer}, counted from the input, instead of width",
        f"width{layer}",
        ("depth", tuple(range(layer + 1, MOST_DEPTH + 1))),
        low=1,
    )


def _alpha(activation: str, default: float, doc: str, **bounds: Any) -> HyperParameter:
    applies = ("activation", (activation,))
    return HyperParameter(f"{activation}.alpha", "float", default, doc, "alpha", applies, **bounds)


HYPER_PARAMETERS: Mapping[str, HyperParameter] = {
    parameter.name: parameter for parameter in (*_of_optimisation(), *_of_networks())
}

NAMESPACES = frozenset(name.partition(".")[0] for name in HYPER_PARAMETERS if "." in name)
"""Words before the dot: `sgd.learning_rate = …` is a table of its own to TOML."""
