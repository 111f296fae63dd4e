"""The arms of a comparison: the values of a hyper-parameter that `[compare]` holds against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from hpsearch.errors import nearest
from hpsearch.records import Params
from hpsearch.study.hyperparameters import HYPER_PARAMETERS, Value
from hpsearch.study.keys import near_key
from hpsearch.study.schema import CompareSection
from hpsearch.study.space import Range, Space

LINEAR = "linear"
"""Not a hyper-parameter: networks without a non-linearity against all others."""

DEEP = "deep"

_MOST_ARMS = 12


Arm = tuple[Value, ...]
"""A value of each hyper-parameter that is compared: one, or several that are compared together."""


def names_of(compare: CompareSection) -> tuple[str, ...]:
    """The hyper-parameters whose values are compared, or "linear"."""
    return (compare.by,) if isinstance(compare.by, str) else tuple(compare.by)


def arm_values(space: Space, by: Sequence[str]) -> list[Arm]:
    """The arms in the study file's order: every combination of values, "linear" and "deep" for "linear"."""
    return list(itertools.product(*(_values(space, name) for name in by)))


def _values(space: Space, name: str) -> Sequence[Value]:
    return (LINEAR, DEEP) if name == LINEAR else space.values(name) or ()


def arm_of(space: Space, params: Params, by: Sequence[str]) -> Arm | None:
    """The arm of the trial whose searched hyper-parameters are `params`; None if it has none.

    Adam's trials are in no arm of a comparison of momenta.
    """
    values = [kind_of(space, params) if name == LINEAR else params.get(name) for name in by]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None


def kind_of(space: Space, params: Params) -> str:
    """ "linear" or "deep"."""
    return LINEAR if space.configuration(params).linear else DEEP


def arm_name(by: Sequence[str], arm: Arm) -> str:
    """How an arm is called in a sentence: "relu", "momentum 0.9", "deep", "relu · kaiming"."""
    return " · ".join(_value_name(name, value) for name, value in zip(by, arm, strict=True))


def _value_name(name: str, value: Value) -> str:
    if name == LINEAR or HYPER_PARAMETERS[name].kind == "name":
        return str(value)
    shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return f"{name} {shown or LINEAR}"


def baseline_arm(compare: CompareSection) -> Arm | None:
    """The baseline as the space writes it; None where the study leaves it open.

    Of linear and deep it is linear then, of all others the best arm.
    """
    by, written = names_of(compare), compare.baseline
    if written is None:
        return (LINEAR,) if by == (LINEAR,) else None
    values = written if len(by) > 1 and isinstance(written, list) else [written]
    if len(values) != len(by):
        return tuple(values)
    return tuple(_normal(name, value) for name, value in zip(by, values, strict=True))


def _normal(name: str, written: Any) -> Value:
    if name == LINEAR:
        return str(written)
    parameter = HYPER_PARAMETERS[name]
    value: Value = parameter.normal(written) if parameter.accepts(written) else written
    return value


def check_compare(compare: CompareSection, space: Space, complain: Callable[[str, str], None]) -> None:
    """Complain, with key and text, of a comparison that the space has no arms for."""
    by = names_of(compare)
    wrong = [text for name in by if (text := _wrong_by(space, name))]
    if len(set(by)) < len(by) or not by:
        wrong.append("expected one hyper-parameter, or a list of different ones")
    for text in wrong:
        complain("by", text)
    count = 0 if wrong else math.prod(len(_values(space, name)) for name in by)
    if count > _MOST_ARMS:
        complain("by", f"makes {count:,} arms; expected at most {_MOST_ARMS}: compare fewer at once")
        return
    arms = arm_values(space, by) if count else []
    baseline = baseline_arm(compare)
    if not wrong and baseline is not None and baseline not in arms:
        several = len(by) > 1
        names = [_quoted(arm) if several else str(arm[0]) for arm in arms]
        near = "" if several else nearest(str(baseline[0]), names)
        complain("baseline", f"expected one of the arms {', '.join(names)}; found {_quoted(baseline)}{near}")


def _quoted(arm: Arm) -> str:
    """An arm as a study file has it."""
    values = [f'"{value}"' if isinstance(value, str) else f"{value}" for value in arm]
    return values[0] if len(values) == 1 else f"[{', '.join(values)}]"


def _wrong_by(space: Space, by: str) -> str | None:
    if by == LINEAR:
        kinds = (
            'needs networks of both kinds: linear (depth 1, hidden [] or activation "none") and deep '
            "(a hidden layer with another activation)"
        )
        return None if _has_both(space) else kinds
    fitting = [name for name in space.searched if _countable(space, name)]
    fitting += [LINEAR] if _has_both(space) else []
    expected = (
        f"expected one of {', '.join(fitting)}" if fitting else "nothing in [space] has a list of values"
    )
    if by not in HYPER_PARAMETERS:
        return f"unknown hyper-parameter{near_key(by, [*HYPER_PARAMETERS, LINEAR])} ({expected})"
    if by not in space.searched:
        return f'"{by}" is not searched: [space] lists no values for it; {expected}'
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
