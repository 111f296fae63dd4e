"""The native kernel: what it takes, what it agrees on with Python, and that no lane leaves its buffers."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.study.hyperparameters import ACTIVATIONS, OPTIMIZERS, SCHEDULES, Configuration
from hpsearch.train import Lane, Problem
from hpsearch.train.native import Kernel, fits, interface, load_kernel, source_hash, train_native
from hpsearch.train.native.build import _kernel_or_reason, compile_kernel, find_compiler
from tests.problems import METRIC_OF, make_lanes, make_problem


def train_many_shapes(library: Path, tiles: int) -> None:
    """Tiles of random sizes, at rates from tame to absurd, so that some lanes overflow."""
    kernel, random = Kernel(library), np.random.default_rng(0)
    for number in range(tiles):
        loss = list(METRIC_OF)[number % len(METRIC_OF)]
        rows, features = (int(n) for n in random.integers(1, (300, 150)))
        valid_rows, keep_last = int(random.integers(1, 400)), bool(random.integers(2))
        metric = "f1" if loss in ("bce", "cross_entropy") and number % 3 else None
        problem = make_problem(
            loss, rows, features, valid_rows=valid_rows, metric=metric, epochs=2, keep_last=keep_last
        )
        apart = {name: getattr(problem, name).copy() for name in ("x_train", "y_train", "x_valid", "y_valid")}
        problem = dataclasses.replace(problem, **apart)
        batch_size = int(random.integers(1 + rows // 8, rows + 2))
        configurations = [
            Configuration(
                hidden="-".join(str(width) for width in random.integers(1, 130, random.integers(6))),
                activation=str(random.choice([a for a in ACTIVATIONS if a not in ("prelu", "maxout")])),
                optimizer=str(random.choice(list(OPTIMIZERS))),
                schedule=str(random.choice(list(SCHEDULES))),
                bias=bool(random.integers(2)),
                learning_rate=float(random.choice([0.01, 1.0, 1e30])),
                momentum=0.9,
                nesterov=bool(number % 2),
                weight_decay=1e-3,
                batch_size=batch_size,
            )
            for _ in range(3)
        ]
        train_native(kernel, problem, make_lanes(problem, configurations), 2)


def test_no_lane_leaves_its_buffers(tmp_path: Path) -> None:
    """In a process of its own, under GCC's address and undefined-behaviour sanitizers."""
    if load_kernel() is None:
        pytest.skip("no C compiler here: small lanes are trained stacked, by torch")
    compiler = find_compiler()
    assert compiler is not None
    runtimes = [
        subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(runtime).is_absolute() for runtime in runtimes):
        pytest.skip(f"{compiler} has no libasan and libubsan here: memory accesses stay unchecked")
    library = tmp_path / "checked.so"
    narrow = ["-mno-avx512f"] if platform.machine() == "x86_64" else []  # compiles in half the time
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-O1", "-g", *narrow]
    compile_kernel(compiler, library, *flags)
    code = "import sys; from tests.test_train_native import train_many_shapes as t; t(sys.argv[1], 24)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(library)],
        env={**os.environ, "LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# -- what the kernel takes -----------------------------------------------------------------------


@dataclass(frozen=True)
class LaterConfiguration(Configuration):
    clipping: float = 0.0


@dataclass(frozen=True, eq=False)
class LaterProblem(Problem):
    class_weights: str = "none"


def test_a_field_that_the_kernel_does_not_know_must_have_its_default() -> None:
    problem = make_problem()
    later = LaterProblem(**{f.name: getattr(problem, f.name) for f in dataclasses.fields(problem)})

    def taken(problem: Problem, **settings: Any) -> bool:
        return fits(problem, Lane(0, LaterConfiguration(**settings)))

    assert taken(problem)
    assert taken(problem, clipping=0.0, activation="gelu", slopes="unit", pieces=5)
    assert not taken(problem, clipping=1.0)
    assert taken(later)
    assert not taken(dataclasses.replace(later, class_weights="balanced"))


def test_a_field_without_a_default_is_not_taken() -> None:
    kind = dataclasses.make_dataclass(
        "Strict", [("clipping", float)], bases=(Configuration,), frozen=True, kw_only=True
    )
    assert not fits(make_problem(), Lane(0, kind(clipping=0.0)))


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        ({}, True),
        ({"device": "cuda"}, False),
        ({"dtype": np.float64}, False),
        ({"metric": "f1"}, True),
        ({"pad_widths": True, "keep_last": True, "epochs": 9}, True),
    ],
    ids=str,
)
def test_which_problems_the_kernel_takes(settings: dict[str, Any], taken: bool) -> None:
    assert fits(make_problem(**settings), Lane(0, Configuration())) == taken


def test_which_configurations_the_kernel_takes() -> None:
    problem = make_problem()
    for activation in ACTIVATIONS:
        lane = Lane(0, Configuration(activation=activation))
        assert fits(problem, lane) == (activation not in ("prelu", "maxout"))
    for settings in ({"batch_norm": True}, {"dropout": 0.1}, {"hidden": "-".join(["2"] * 64)}):
        assert not fits(problem, Lane(0, Configuration(**settings))), settings
    others: dict[str, Any] = {"slopes": "unit", "pieces": 9, "alpha": 0.3, "init": "zeros", "width3": 5}
    for settings in (*({name: value} for name, value in others.items()), {"hidden": "-".join(["2"] * 63)}):
        assert fits(problem, Lane(0, Configuration(**settings))), settings
    for optimizer in OPTIMIZERS:
        assert fits(problem, Lane(0, Configuration(optimizer=optimizer)))
    assert not fits(problem, Lane(0, Configuration(optimizer="of torch alone")))


def test_every_field_that_the_kernel_takes_exists() -> None:
    for kind, names in interface._TAKEN.items():
        assert set(names) <= {field.name for field in dataclasses.fields(kind)}


# -- the tables of C and of Python ---------------------------------------------------------------


@pytest.fixture
def compiler() -> str:
    found = find_compiler()
    if load_kernel() is None or found is None:
        pytest.skip("no C compiler here: small lanes are trained stacked, by torch")
    return found


def other_enum(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(interface.ENUMS, "optimizer", {"adam": "ADAM", "sgd": "SGD", "adamw": "ADAMW"})


def other_order(patch: pytest.MonkeyPatch) -> None:
    """A struct of the same size with two neighbours exchanged."""
    first, second, *others = interface.PlanStruct.declared
    patch.setattr(interface.PlanStruct, "declared", (second, first, *others))


def other_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(interface, "LAYERS", interface.LAYERS // 2)


@pytest.mark.parametrize("change", [other_enum, other_order, other_limit])
def test_a_library_of_other_tables_is_refused(
    compiler: str, tmp_path: Path, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    library, before = tmp_path / "other.so", source_hash()
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        assert source_hash() != before
        compile_kernel(compiler, library, "-O0")
        Kernel(library)
    with pytest.raises(OSError, match=r"other\.so was compiled with different structs or enums"):
        Kernel(library)


def test_without_agreement_on_a_struct_there_is_no_kernel_and_a_reason(
    compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C gets a field that ctypes does not know of."""
    monkeypatch.setattr(interface.PartStruct, "declared", (*interface.PartStruct.declared, "double weight"))
    kernel, reason = _kernel_or_reason.__wrapped__()
    assert kernel is None
    assert reason is not None
    assert "Part has 32 bytes in Python" in reason
