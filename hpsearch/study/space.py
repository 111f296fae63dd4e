"""The space of a study: what each hyper-parameter may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hpsearch.errors import nearest
from hpsearch.records import Params
from hpsearch.study.hyperparameters import (
    HYPER_PARAMETERS,
    NAMESPACES,
    Configuration,
    HyperParameter,
    Value,
)
from hpsearch.study.keys import near_key_of

_MOST_NAMED = 6
_MOST_STEPS = 10**15
"""Of a range: more are finer than its numbers."""

Complain = Callable[[str, str], None]
"""Called with the key and the text of a complaint."""


@dataclass(frozen=True)
class Fixed:
    """One value, the same for all trials."""

    value: Value

    def document(self) -> Any:
        return self.value


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Value, ...]

    def document(self) -> Any:
        return list(self.values)

    def __str__(self) -> str:
        if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values):
            return f"{min(self.values)}…{max(self.values)} ({len(self.values)})"
        return f"({len(self.values)})"


@dataclass(frozen=True)
class Range:
    """A number between low and high, both included; `log` spaces it logarithmically."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    def document(self) -> Any:
        document: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            document["log"] = True
        if self.step is not None:
            document["step"] = self.step
        return document

    @property
    def last(self) -> float:
        """The largest value: `high`, or the last that whole steps reach from `low`."""
        if self.step is None:
            return self.high
        low, high, step = (Decimal(str(number)) for number in (self.low, self.high, self.step))
        last = (high - low) // step * step + low  # in decimals, as Optuna counts
        return int(last) if self.integer else float(last)

    def __str__(self) -> str:
        text = f"{self.low:g}…{self.last:g}"
        return text + (" log" if self.log else "") + (f" step {self.step:g}" if self.step else "")


Entry = Fixed | Choice | Range


@dataclass(frozen=True)
class Space:
    """Entries by hyper-parameter name, in the file's order. What is not named has its default."""

    entries: Mapping[str, Entry]

    @property
    def searched(self) -> dict[str, Choice | Range]:
        """The entries that vary, in order; they are the trials' parameters."""
        return {name: e for name, e in self.entries.items() if not isinstance(e, Fixed)}

    @property
    def fixed(self) -> dict[str, Any]:
        """Values of all other hyper-parameters, defaults included; those without a default are left out."""
        fixed = {name: e.value for name, e in self.entries.items() if isinstance(e, Fixed)}
        stands_for = {"depth", "width"} if "hidden" in self.entries else {"hidden"}
        defaults = {
            name: parameter.default
            for name, parameter in HYPER_PARAMETERS.items()
            if name not in self.entries and name not in stands_for and parameter.default is not None
        }
        return fixed | defaults

    def active(self, params: Params) -> Params:
        """The searched hyper-parameters that mean anything to a trial.

        Adam has no use for a momentum, nor for the general learning_rate where it has one of its own.
        """
        used = self.described(params)
        return {name: value for name, value in params.items() if name in used}

    def configuration(self, params: Params) -> Configuration:
        """All hyper-parameters of the trial whose searched ones are `params`."""
        return Configuration(**{p.field: value for p, value in self._settings(params)})

    def described(self, params: Params) -> dict[str, Value]:
        """The hyper-parameters that mean anything to the trial whose searched ones are `params`, by name."""
        settings = {p.field: (p.name, value) for p, value in self._settings(params)}
        return dict(settings.values())

    def _settings(self, params: Params) -> list[tuple[HyperParameter, Any]]:
        """Those that matter with their values; the special one of a field comes after the general one."""
        values = {**self.fixed, **params}
        return [
            (parameter, values[name])
            for name, parameter in HYPER_PARAMETERS.items()
            if name in values and parameter.matters(values)
        ]

    def values(self, name: str) -> Sequence[Value] | None:
        """The finitely many values of a hyper-parameter, or None for a continuous range.

        Those of a whole-number range are a `range`: it may have more than fit the memory.
        """
        entry = self.entries.get(name)
        if entry is None:
            default = HYPER_PARAMETERS[name].default
            return () if default is None else (default,)
        if isinstance(entry, Fixed):
            return (entry.value,)
        if isinstance(entry, Choice):
            return entry.values
        if entry.integer and not entry.log:
            return range(int(entry.low), int(entry.high) + 1, int(entry.step or 1))
        return None

    def document(self) -> dict[str, Any]:
        """The space as JSON-able values, defaults that may matter filled in."""
        described = {name: entry.document() for name, entry in self.entries.items()}
        defaults = {name: v for name, v in self.fixed.items() if name not in described and self.uses(name)}
        return described | defaults

    def uses(self, name: str) -> bool:
        """Whether a hyper-parameter means anything to some of the trials."""
        applies = HYPER_PARAMETERS[name].applies
        if self.replaced(name):
            return False
        return applies is None or any(value in (self.values(applies[0]) or ()) for value in applies[1])

    def replaced(self, name: str) -> bool:
        """Whether every optimiser that trials have has its own, such as `sgd.learning_rate`."""
        return all(f"{optimizer}.{name}" in self.entries for optimizer in self.values("optimizer") or ())


def read_space(table: Mapping[str, Any], complain: Complain) -> Space:
    """Entries of a `[space]` table; whatever is wrong goes to `complain`, all of it."""
    entries: dict[str, Entry] = {}
    for name, written in _flat(table).items():
        parameter = HYPER_PARAMETERS.get(name)
        if parameter is None:
            complain(name, _unknown(name))
            continue
        entry = _read_entry(parameter, written, _below(name, complain))
        if entry is not None:
            entries[name] = entry
    if "hidden" in entries:
        for name in entries:
            if name in ("depth", "width") or name.startswith("layer"):
                complain(name, '"hidden" already sets the layers; leave out one of the two')
    space = Space(entries)
    _check_use(space, complain)
    return space


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with `sgd.learning_rate = …`, which TOML reads as a table of a table, under its full name."""
    flat: dict[str, Any] = {}
    for name, written in table.items():
        if name in NAMESPACES and isinstance(written, dict):
            flat |= {f"{name}.{key}": value for key, value in written.items()}
        else:
            flat[name] = written
    return flat


def _check_use(space: Space, complain: Complain) -> None:
    """Complain of hyper-parameters that no trial has a use for, and of those that can't go together."""
    for name in space.entries:
        applies = HYPER_PARAMETERS[name].applies
        if applies and not space.uses(name):
            of, wanted = applies
            found = space.values(of) or ()
            complain(
                name, f"has no effect here: it applies to {of} {_some(wanted)}; found {of} {_some(found)}"
            )
    for name in ("learning_rate", "weight_decay"):
        if name in space.entries and space.replaced(name):
            complain(
                name, f"has no effect here: every optimizer has its own {name}; leave out one of the two"
            )
    if True in (space.values("batch_norm") or ()) and 1 in (space.values("batch_size") or (1,)):
        complain("batch_norm", "a batch of one row has no variance; leave out batch_size 1 or batch_norm")


def _some(values: Sequence[Value]) -> str:
    """ "a" or "b"; of many numbers, from the least to the greatest."""
    if len(values) > _MOST_NAMED:
        ends = (values[0], values[-1]) if isinstance(values, range) else (min(values), max(values))
        return f"{ends[0]} to {ends[1]}"
    return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)


def _below(prefix: str, complain: Complain) -> Complain:
    return lambda key, text: complain(prefix + key, text)


def _unknown(name: str) -> str:
    if name in ("epochs", "max_epochs"):
        return (
            "the number of epochs is not searched, because more epochs almost always look better; "
            "set the maximum per trial as train.epochs, and early stopping finds the rest"
        )
    known = ", ".join(HYPER_PARAMETERS)
    return f"unknown hyper-parameter{near_key_of('space', name, HYPER_PARAMETERS)} (known: {known})"


def _read_entry(parameter: HyperParameter, written: Any, complain: Complain) -> Entry | None:
    if parameter.kind == "layers":
        written = layer_lists(written)
    if isinstance(written, dict):
        return _read_range(parameter, written, complain)
    is_choice = isinstance(written, list)
    if parameter.kind == "layers" and is_choice:
        is_choice = any(isinstance(item, list) for item in written)
    if not is_choice:
        return Fixed(parameter.normal(written)) if _good(parameter, written, complain) else None
    if not written:
        complain("", f"an empty list; expected {parameter.expected}, or a list of such values")
        return None
    good = [_good(parameter, item, complain) for item in written]
    if not all(good):
        return None
    values = tuple(parameter.normal(item) for item in written)
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        complain("", f"the value {twice} is listed twice")
        return None
    return Fixed(values[0]) if len(values) == 1 else Choice(values)


def layer_lists(written: Any) -> Any:
    """Layer lists in their stored form, "100-50-50", as lists again; all else as it is."""
    if isinstance(written, str) and re.fullmatch(r"(\d+(-\d+)*)?", written):
        return [int(width) for width in written.split("-") if width]
    if isinstance(written, list):
        return [layer_lists(item) for item in written]
    return written


def _good(parameter: HyperParameter, value: Any, complain: Complain) -> bool:
    if parameter.accepts(value):
        return True
    hint = nearest(value, parameter.names) if isinstance(value, str) else ""
    found = (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).replace("True", "true").replace("False", "false")
    )
    complain("", f"expected {parameter.expected}; found {found}{hint}")
    return False


def _read_range(parameter: HyperParameter, written: dict[str, Any], complain: Complain) -> Range | None:
    keys = ("low", "high", "log", "step")
    unknown = [key for key in written if key not in keys]
    for key in unknown:
        complain(f".{key}", f"unknown key{nearest(key, keys)} (a range has low, high, log, step)")
    if not parameter.numeric:
        complain("", f"cannot be a range; expected {parameter.expected}, or a list of such values")
        return None
    missing = [key for key in ("low", "high") if key not in written]
    if missing:
        complain("", f"a range needs low and high; missing: {' and '.join(missing)}")
    good = [
        _good(parameter, written[key], _below(f".{key}", complain))
        for key in ("low", "high")
        if key in written
    ]
    if missing or unknown or not all(good):
        return None
    low, high = written["low"], written["high"]
    log, step = written.get("log", False), written.get("step")
    problems = _range_problems(parameter, low, high, log, step)
    for sub, text in problems:
        complain(sub, text)
    if problems:
        return None
    integer = parameter.kind == "int"
    if not integer:
        low, high, step = float(low), float(high), None if step is None else float(step)
    return Range(low, high, log, step, integer)


def _range_problems(
    parameter: HyperParameter, low: Any, high: Any, log: Any, step: Any
) -> list[tuple[str, str]]:
    problems = []
    if low == high:
        problems.append(
            ("", f"an empty range: low and high are both {low:g}; write {low:g} to fix the value")
        )
    elif low > high:
        problems.append(("", f"a reversed range: low {low:g} is above high {high:g}"))
    if not isinstance(log, bool):
        problems.append((".log", f"expected true or false; found {log!r}"))
    elif log and low <= 0:
        problems.append(("", f"a log range needs low above 0; found {low:g}"))
    if step is not None:
        number = isinstance(step, (int, float)) and not isinstance(step, bool)
        if not number or step <= 0 or (parameter.kind == "int" and not isinstance(step, int)):
            kind = "whole " if parameter.kind == "int" else ""
            problems.append((".step", f"expected a {kind}number above 0; found {step!r}"))
        elif log is True:
            problems.append((".step", "a log range cannot have a step; leave out one of the two"))
        elif low < high and step > high - low:
            problems.append((".step", f"{step:g} is larger than the range {low:g}…{high:g}"))
        elif low < high and high - low > _MOST_STEPS * step:
            problems.append((".step", f"{step:g} is too fine for the range {low:g}…{high:g}; leave it out"))
    return problems
