"""Points of the space that a study names: those to try first, and those that are forbidden."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.records import Params
from hpsearch.study.hyperparameters import HYPER_PARAMETERS, HyperParameter, Value
from hpsearch.study.keys import near_key
from hpsearch.study.space import Choice, Complain, Fixed, Range, Space, layer_lists

MOST_POINTS = 100_000
_MOST_LOOKS = 1_000_000
"""At a combination, to find out whether all of them leave a trial; the sampler finds out otherwise."""


@dataclass(frozen=True)
class Condition:
    """What a hyper-parameter is: one of some values, or from low to high, both included."""

    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None

    def holds(self, value: Value) -> bool:
        if self.values:
            return value in self.values
        if isinstance(value, str):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def document(self) -> Any:
        if self.values:
            return list(self.values) if len(self.values) > 1 else self.values[0]
        ends = {"low": self.low, "high": self.high}
        return {key: end for key, end in ends.items() if end is not None}


@dataclass(frozen=True)
class Forbidden:
    """A combination that no trial has: all of the conditions at once."""

    conditions: Mapping[str, Condition]

    def holds(self, described: Mapping[str, Value]) -> bool:
        """described: the hyper-parameters that mean anything to a trial (`Space.described`)."""
        return all(
            name in described and condition.holds(described[name])
            for name, condition in self.conditions.items()
        )

    def document(self) -> dict[str, Any]:
        return {name: condition.document() for name, condition in self.conditions.items()}


def read_points(written: Any, space: Space, complain: Complain) -> tuple[Params, ...]:
    """The points of `[[enqueue]]`; whatever is wrong goes to `complain`, all of it."""
    points = []
    for at, table in enumerate(_tables(written, "learning_rate = 0.1", complain)):
        points.append(read_point(table, space, _below(str(at), complain)))
    return tuple(points)


def read_point(table: Mapping[str, Any], space: Space, complain: Complain) -> Params:
    """Values of some or all searched hyper-parameters."""
    point = {}
    if not table:
        complain("", f"an empty point; expected some of {', '.join(space.searched)}")
    for name, written in _dotted(table):
        parameter = HYPER_PARAMETERS.get(name)
        entry = space.entries.get(name)
        written = layer_lists(written) if parameter and parameter.kind == "layers" else written
        if parameter is None or entry is None or isinstance(entry, Fixed):
            known = ", ".join(space.searched) or "none"
            complain(name, f"is not searched{near_key(name, space.searched)} (searched: {known})")
        elif not parameter.accepts(written):
            complain(name, f"expected {parameter.expected}; found {_shown(written)}")
        elif not _inside(entry, value := parameter.normal(written)):
            complain(name, f"expected a value of the space, {_entry_text(entry)}; found {_shown(written)}")
        else:
            point[name] = value
    return {name: point[name] for name in space.searched if name in point}


def read_forbidden(written: Any, space: Space, complain: Complain) -> tuple[Forbidden, ...]:
    """The combinations of `[[forbidden]]`; whatever is wrong goes to `complain`, all of it."""
    found = []
    for at, table in enumerate(_tables(written, "depth = 5", complain)):
        below = _below(str(at), complain)
        conditions = {}
        if not table:
            below("", "an empty combination would forbid every trial; name hyper-parameters and values")
        for name, value in _dotted(table):
            parameter = HYPER_PARAMETERS.get(name)
            if parameter is None:
                below(name, f"unknown hyper-parameter{near_key(name, HYPER_PARAMETERS)}")
            elif not space.uses(name):
                below(name, "has no effect on any trial of this study")
            elif condition := _condition(parameter, value, _below(name, below)):
                conditions[name] = condition
        if conditions and len(conditions) == len(_dotted(table)):
            found.append(Forbidden(conditions))
    return tuple(found)


def check_points(
    points: Sequence[Params], forbidden: Sequence[Forbidden], space: Space, complain: Complain
) -> None:
    """Complain of points of which what is given is forbidden already."""
    for at, point in enumerate(points):
        described = space.described(point)
        for combination in forbidden:
            if combination.holds(described):
                complain(str(at), f"is forbidden by the combination of {', '.join(combination.conditions)}")
                break


def check_forbidden(forbidden: Sequence[Forbidden], space: Space, complain: Complain) -> None:
    """Complain of combinations that leave no trial, before anything of the study is stored."""
    if not forbidden:
        return
    names = {name for combination in forbidden for name in combination.conditions}
    names |= {applies[0] for name in space.entries if (applies := HYPER_PARAMETERS[name].applies)}
    axes = {name: _kinds(e, name, forbidden if name in names else ()) for name, e in space.searched.items()}
    axes = {name: values if name in names else values[:1] for name, values in axes.items()}
    if len(forbidden) * math.prod(map(len, axes.values())) > _MOST_LOOKS:
        return
    for values in itertools.product(*axes.values()):
        described = space.described(dict(zip(axes, values, strict=True)))
        if not any(combination.holds(described) for combination in forbidden):
            return
    complain("", "forbid every trial together; forbid less, or widen [space]")


def _kinds(entry: Choice | Range, name: str, forbidden: Sequence[Forbidden]) -> Sequence[Value]:
    """Values of a hyper-parameter such that every other is treated by the conditions as one of them is.

    Of a continuous range: one from each piece between the ends of conditions, which are drawn never.
    """
    if isinstance(entry, Choice):
        return entry.values
    conditions = [combination.conditions[name] for combination in forbidden if name in combination.conditions]
    ends = {end for c in conditions for end in (c.low, c.high, *c.values) if isinstance(end, (int, float))}
    if not entry.integer and entry.step is None:
        inner = sorted({entry.low, entry.high, *(end for end in ends if entry.low < end < entry.high)})
        return [low / 2 + high / 2 for low, high in itertools.pairwise(inner)]
    step = entry.step or 1
    near = {int((min(max(end, entry.low), entry.last) - entry.low) // step) for end in ends}
    most = int((entry.last - entry.low) // step) + (not entry.integer)
    places = {place for at in near for place in (at - 1, at, at + 1, at + 2) if 0 <= place <= most}
    return [min(entry.low + step * place, entry.last) for place in sorted(places or {0})]


def _condition(parameter: HyperParameter, written: Any, complain: Complain) -> Condition | None:
    if isinstance(written, dict):
        unknown = [key for key in written if key not in ("low", "high")]
        if unknown or not written or not parameter.numeric:
            what = "{ low = …, high = … } for a number (one of the two may be missing)"
            complain("", f"expected a value, a list of values, or {what}; found {_shown(written)}")
            return None
        ends = {key: end for key, end in written.items() if _number(end, key, complain)}
        return Condition(low=ends.get("low"), high=ends.get("high")) if len(ends) == len(written) else None
    if parameter.kind == "layers":
        written = layer_lists(written)
        several = isinstance(written, list) and any(isinstance(item, list) for item in written)
    else:
        several = isinstance(written, list)
    values = written if several else [written]
    if not values:
        complain("", f"an empty list; expected {parameter.expected}, or a list of such values")
        return None
    for value in values:
        if not parameter.accepts(value):
            complain("", f"expected {parameter.expected}; found {_shown(value)}")
            return None
    return Condition(tuple(parameter.normal(value) for value in values))


def _number(end: Any, key: str, complain: Complain) -> bool:
    if isinstance(end, (int, float)) and not isinstance(end, bool) and end == end:
        return True
    complain(key, f"expected a number; found {_shown(end)}")
    return False


def _tables(written: Any, example: str, complain: Complain) -> Sequence[Mapping[str, Any]]:
    if not isinstance(written, list) or not all(isinstance(table, dict) for table in written):
        complain("", f"expected tables in double brackets with lines such as {example}")
        return []
    if len(written) > MOST_POINTS:
        complain("", f"expected at most {MOST_POINTS:,}; found {len(written):,}")
        return []
    return written


def _dotted(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names with their values; `sgd.learning_rate = …` is a table of its own to TOML."""
    items = []
    for name, value in table.items():
        if name not in HYPER_PARAMETERS and isinstance(value, dict):
            items += [(f"{name}.{key}", inner) for key, inner in value.items()]
        else:
            items.append((name, value))
    return items


def _inside(entry: Any, value: Value) -> bool:
    if isinstance(entry, Choice):
        return value in entry.values
    if isinstance(value, str) or not entry.low <= value <= entry.last:
        return False
    return entry.step is None or abs(((value - entry.low) / entry.step + 0.5) % 1 - 0.5) < 1e-9


def _entry_text(entry: Any) -> str:
    return ", ".join(map(str, entry.values)) if isinstance(entry, Choice) else str(entry)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).replace("True", "true").replace("False", "false")


def _below(prefix: str, complain: Complain) -> Callable[[str, str], None]:
    return lambda key, text: complain(f"{prefix}.{key}" if key else prefix, text)
