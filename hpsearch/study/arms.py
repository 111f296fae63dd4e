"""The arms of a comparison: the values of a hyper-parameter that `[compare]` holds against each other."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.errors import nearest
from hpsearch.records import Params
from hpsearch.study.hyperparameters import HYPER_PARAMETERS, Value
from hpsearch.study.schema import CompareSection
from hpsearch.study.space import Range, Space

LINEAR = "linear"
"""Not a hyper-parameter: networks without a non-linearity against all others."""

DEEP = "deep"

_MOST_ARMS = 12


def arm_values(space: Space, by: str) -> tuple[Value, ...]:
    """The arms' values in the study file's order, or "linear" and "deep"."""
    return (LINEAR, DEEP) if by == LINEAR else space.values(by) or ()


def arm_of(space: Space, params: Params, by: str) -> Value | None:
    """The arm of the trial whose searched hyper-parameters are `params`; None if it has none.

    Adam's trials are in no arm of a comparison of momenta.
    """
    if by != LINEAR:
        return params.get(by)
    return LINEAR if space.configuration(params).linear else DEEP


def arm_name(by: str, value: Value) -> str:
    """How an arm is called in a sentence: "relu", "momentum 0.9", "deep"."""
    if by == LINEAR or HYPER_PARAMETERS[by].kind == "name":
        return str(value)
    shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return f"{by} {shown or LINEAR}"


def baseline_value(compare: CompareSection) -> Value | None:
    """The baseline as the space writes it; None where the study leaves it open.

    Of linear and deep it is linear then, of all others the best arm.
    """
    if compare.by == LINEAR:
        return LINEAR if compare.baseline is None else str(compare.baseline)
    parameter, written = HYPER_PARAMETERS[compare.by], compare.baseline
    return parameter.normal(written) if written is not None and parameter.accepts(written) else written


def check_compare(compare: CompareSection, space: Space, complain: Callable[[str, str], None]) -> None:
    """Complain, with key and text, of a comparison that the space has no arms for."""
    if text := _wrong_by(space, compare.by):
        complain("by", text)
        return
    values, baseline = arm_values(space, compare.by), baseline_value(compare)
    if baseline is not None and baseline not in values:
        names = [str(value) for value in values]
        found = f'"{baseline}"' if isinstance(baseline, str) else str(baseline)
        hint = nearest(baseline, names) if isinstance(baseline, str) else ""
        complain("baseline", f"expected one of the arms {', '.join(names)}; found {found}{hint}")


def _wrong_by(space: Space, by: str) -> str | None:
    if by == LINEAR:
        kinds = (
            'needs networks of both kinds: a linear one (depth 1, hidden [] or activation "none") and one '
            "with a hidden layer and another activation"
        )
        return None if _has_both(space) else kinds
    fitting = [name for name in space.searched if _countable(space, name)]
    fitting += [LINEAR] if _has_both(space) else []
    expected = (
        f"expected one of {', '.join(fitting)}" if fitting else "nothing in [space] has a list of values"
    )
    if by not in HYPER_PARAMETERS:
        return f"unknown hyper-parameter{nearest(by, [*HYPER_PARAMETERS, LINEAR])} ({expected})"
    if by not in space.searched:
        return f'"{by}" is not searched: [space] gives it no list of values; {expected}'
    if by not in fitting:
        values, entry = space.values(by), space.searched[by]
        found = "is a range" if values is None else f"has {len(values)} values"
        low, high = (entry.low, entry.high) if isinstance(entry, Range) else entry.values[:2]
        return (
            f'"{by}" {found}; expected a list of at most {_MOST_ARMS} values, such as '
            f"{by} = [{low}, {high}], or another hyper-parameter"
        )
    return None


def _countable(space: Space, name: str) -> bool:
    values = space.values(name)
    return values is not None and 2 <= len(values) <= _MOST_ARMS


def _has_both(space: Space) -> bool:
    """Whether trials may be linear, and may be not."""
    if "hidden" in space.entries:
        deep = [bool(layers) for layers in space.values("hidden") or ()]
    else:
        depth = space.entries.get("depth")
        values = (depth.low, depth.high) if isinstance(depth, Range) else space.values("depth") or ()
        deep = [int(value) > 1 for value in values]
    none = [name == "none" for name in space.values("activation") or ()]
    return any(deep) and not all(none) and (not all(deep) or any(none))
