"""The native kernel's memory: no lane of any shape reads or writes beyond its buffers."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpsearch.study.hyperparameters import ACTIVATIONS, OPTIMIZERS, SCHEDULES, Configuration
from hpsearch.train.native import Kernel, load_kernel, train_native
from hpsearch.train.native.build import compile_kernel, find_compiler
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
