"""hpsearch finds out which hyper-parameters of a neural network matter.

>>> import hpsearch
>>> study = hpsearch.load_study("studies/digits.toml")
>>> result = hpsearch.run(study, storage="sqlite:///hpsearch.db")
>>> result.trials, result.curves

Names are imported when they are first used, so that `import hpsearch` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.api import Result, run
    from hpsearch.model.files import load_model
    from hpsearch.model.model import Model
    from hpsearch.retrain.confirm import confirm
    from hpsearch.retrain.replay import replay
    from hpsearch.study.file import Study, load_study

__version__ = "0.1.0"

__all__ = ["Model", "Result", "Study", "__version__", "confirm", "load_model", "load_study", "replay", "run"]

_HOMES = {
    "Result": "hpsearch.api",
    "run": "hpsearch.api",
    "confirm": "hpsearch.retrain.confirm",
    "Model": "hpsearch.model.model",
    "load_model": "hpsearch.model.files",
    "replay": "hpsearch.retrain.replay",
    "Study": "hpsearch.study.file",
    "load_study": "hpsearch.study.file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
