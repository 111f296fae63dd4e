"""hpsearch finds out which hyper-parameters of a neural network matter.

>>> import hpsearch
>>> result = hpsearch.run("studies/digits.toml", storage="sqlite:///hpsearch.db")
>>> result.best_params, result.trials, result.confirmed
>>> print(result.text())

`hpsearch` on the command line calls the same functions. Names are imported when they are first used, so that
`import hpsearch` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.api import (
        compare,
        confirm,
        curves,
        enqueue,
        export,
        fork,
        predict,
        replay,
        report,
        run,
    )
    from hpsearch.errors import HpsearchError
    from hpsearch.model.files import load_model
    from hpsearch.model.model import Model
    from hpsearch.result import Result
    from hpsearch.running.watch import ProgressLine, Watch
    from hpsearch.stored import delete, doctor, dump, load, studies
    from hpsearch.study.file import Study, load_study

__version__ = "0.1.0"

__all__ = [
    "HpsearchError",
    "Model",
    "ProgressLine",
    "Result",
    "Study",
    "Watch",
    "__version__",
    "compare",
    "confirm",
    "curves",
    "delete",
    "describe",
    "doctor",
    "dump",
    "enqueue",
    "export",
    "fork",
    "load",
    "load_model",
    "load_study",
    "predict",
    "replay",
    "report",
    "run",
    "studies",
]

_ELSEWHERE = {
    "HpsearchError": "hpsearch.errors",
    "Model": "hpsearch.model.model",
    "ProgressLine": "hpsearch.running.watch",
    "Result": "hpsearch.result",
    "Study": "hpsearch.study.file",
    "Watch": "hpsearch.running.watch",
    **dict.fromkeys(("delete", "doctor", "dump", "load", "studies"), "hpsearch.stored"),
    "load_model": "hpsearch.model.files",
    "load_study": "hpsearch.study.file",
}
"""Where a public name lives that is not in hpsearch.api."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ELSEWHERE.get(name, "hpsearch.api")), name)


def __dir__() -> list[str]:
    """The public names, so that a notebook completes them before they are imported."""
    return sorted(__all__)
