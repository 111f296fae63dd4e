"""The keys of a study file, and which of them a word means that is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from hpsearch.errors import closest, nearest
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.schema import SECTIONS, Section

_ALIASES = {
    "learning_rate": ("lr", "eta", "rate", "step_size", "learning_rate_init"),
    "batch_size": ("bs", "batch", "batchsize", "minibatch", "mini_batch_size"),
    "weight_decay": ("wd", "l2", "lambda", "decay"),
    "width": ("units", "neurons", "hidden_units", "hidden_size", "hidden_dim", "n_units"),
    "depth": ("layers", "n_layers", "num_layers"),
    "hidden": ("hidden_layer_sizes",),
    "activation": ("act", "nonlinearity", "non_linearity"),
    "optimizer": ("opt", "optim", "optimiser", "solver"),
    "schedule": ("scheduler", "lr_schedule", "lr_scheduler"),
    "momentum": ("mom", "mu", "rho"),
    "epsilon": ("eps",),
    "beta1": ("beta_1",),
    "beta2": ("beta_2",),
    "dropout": ("drop", "dropout_rate", "drop_rate"),
    "batch_norm": ("bn", "batchnorm"),
    "init": ("initialisation", "initialization", "initializer", "weight_init"),
    "epochs": ("n_epochs", "num_epochs", "max_epochs", "max_iter"),
    "loss": ("criterion",),
    "trials": ("n_trials", "num_trials", "max_trials"),
    "time_limit": ("time", "timeout", "max_time"),
    "stopping": ("pruner", "pruning", "early_stopping"),
    "seed": ("random_state", "random_seed"),
    "source": ("file", "path", "dataset"),
    "target": ("label", "y"),
}
"""What others call a key."""

_MEANT = {alias: key for key, aliases in _ALIASES.items() for alias in aliases}


def near_key(word: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?` for the known key that a word means or is most like, or an empty string."""
    known = list(known)
    key = _MEANT.get(word.lower())
    return f'; did you mean "{key}"?' if key in known else nearest(word, known)


def near_key_of(section: str, word: str, known: Iterable[str]) -> str:
    """The same for a key of a section; what only another section has is named with that section."""
    places = places_of(_MEANT.get(word.lower(), word))
    if places and not any(place.startswith(f"{section}.") for place in places):
        return f'; did you mean "{places[0]}"?'
    return near_key(word, known)


def places_of(key: str) -> list[str]:
    """Where a study file may have a key: ["space.learning_rate"], or [] if nowhere.

    Keys of tables inside a section, such as data.split.valid, count if no section has such a key itself.
    """
    paths = list(_paths())
    own = [path for path in paths if path.partition(".")[2] == key]
    return own or [path for path in paths if path.endswith(f".{key}") and not path.startswith("space.")]


def likely(key: str) -> str:
    """`; did you mean "…"?` with the whole path of the key that a word means, or an empty string."""
    keys = {path.partition(".")[2]: path for path in _paths()}
    name = _MEANT.get(key.lower())
    name = name if name in keys else closest(key, keys)
    return "" if name is None else f'; did you mean "{keys[name]}"?'


def _paths() -> Iterator[str]:
    """All keys as SECTION.KEY."""
    for name, model in SECTIONS.items():
        yield from _below(name, model)
    yield from (f"space.{name}" for name in HYPER_PARAMETERS)


def _below(path: str, model: type[Section]) -> Iterator[str]:
    for key, field in model.model_fields.items():
        yield f"{path}.{key}"
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from _below(f"{path}.{key}", kind)
