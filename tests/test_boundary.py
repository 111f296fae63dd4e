"""Pictures in reports: decision boundaries, and contact sheets of what the best trial gets wrong."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from typer.testing import CliRunner

from hpsearch.api import run
from hpsearch.cli.app import app
from hpsearch.records import Trial
from hpsearch.reporting import contact_sheet as contact
from hpsearch.reporting.boundary import Panel, Plane, boundary_png
from hpsearch.reporting.images import in_a_plane, predict
from hpsearch.reporting.theme import COLOURS
from hpsearch.running.prepare import make_problem, prepare
from hpsearch.store import Database
from hpsearch.study.file import load_study
from tests.pictures import noise, write_picture
from tests.studies import hpsearch as command
from tests.studies import url

STUDY = """
[study]
name = "small"
[data]
source = "{source}"
[space]
depth = {depth}
activation = ["tanh", "sigmoid"]
learning_rate = {{ low = 1e-2, high = 0.5, log = true }}
batch_size = 16
width = 12
[train]
epochs = 9
[search]
sampler = "random"
stopping = "none"
trials = 8
"""


def stored(folder: Path, source: str, depth: str = "[1, 3]") -> Path:
    path = folder / "small.toml"
    path.write_text(STUDY.format(source=source, depth=depth), encoding="utf-8")
    run(path, storage=url(folder / "x.db"), confirm=False)
    return path


def report_files(folder: Path) -> dict[str, bytes]:
    storage, out = url(folder / "x.db"), folder / "out"
    words = ["report", "small", "--storage", storage, "--out", str(out), "--images"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def pixels(png: bytes) -> Any:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"), dtype=np.float64) / 255


def trials_of(folder: Path) -> list[Trial]:
    with Database.open(url(folder / "x.db")) as database:
        return database.study("small").trials()


@pytest.mark.parametrize("source", ["xor", "spiral"])
def test_predictions_are_those_that_the_stored_curve_tells_of(tmp_path: Path, source: str) -> None:
    study, dataset = prepare(load_study(stored(tmp_path, source)))
    problem = make_problem(study, dataset, "cpu")
    y = dataset.valid.y.astype(int)
    for trial in trials_of(tmp_path)[:4]:
        shares = predict(study, problem, trial, dataset.valid.x)
        if shares.ndim == 1:
            shares = np.column_stack([1 - shares, shares])
        assert (shares.argmax(1) == y).mean() == pytest.approx(trial.value)
        assert -np.log(shares[np.arange(len(y)), y]).mean() == pytest.approx(trial.loss, rel=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_point_of_the_picture_has_its_class_s_colour(classes: int) -> None:
    """Class 0 left of the middle; right of it the last class below and the second above."""
    n = 50
    shares = np.zeros((n, n, classes))
    shares[:, : n // 2, 0] = shares[: n // 2, n // 2 :, classes - 1] = shares[n // 2 :, n // 2 :, 1] = 1
    nothing = np.empty((0, 2), np.float32)
    names = tuple("abc"[:classes])
    plane = Plane(("x", "$y$"), (-1, 1, -1, 1), nothing, np.empty(0, np.int64), names)
    picture = pixels(boundary_png(plane, [Panel("one", shares)]))
    height, width, _ = picture.shape
    places = {(0.3, 0.3): 0, (0.3, 0.7): 0, (0.8, 0.7): classes - 1, (0.8, 0.3): 1}
    for (across, down), place in places.items():
        seen = picture[int(down * height), int(across * width)]
        distances = [np.abs(seen - 1 + 0.45 * (1 - np.array(to_rgb(c)))).max() for c in COLOURS]
        assert int(np.argmin(distances)) == place
        assert min(distances) < 0.02
    assert boundary_png(plane, [Panel("one", shares)]) == boundary_png(plane, [Panel("one", shares)])


def test_the_best_linear_and_the_best_deep_trial_stand_side_by_side(tmp_path: Path) -> None:
    both, deep = tmp_path / "both", tmp_path / "deep"
    for folder, depth in ((both, "[1, 3]"), (deep, "[2, 3]")):
        folder.mkdir()
        stored(folder, "paws", depth)
    two, one = report_files(both), report_files(deep)
    assert pixels(two["boundary.png"]).shape[1] == 2 * pixels(one["boundary.png"]).shape[1]
    assert b"(boundary.png)" in two["report.md"]


def test_data_of_more_features_or_of_text_have_no_plane(tmp_path: Path) -> None:
    stored(tmp_path, "iris")
    assert "boundary.png" not in report_files(tmp_path)
    rows = [f"{'ab'[n % 2]},{n % 3 % 2}" for n in range(60)]
    (tmp_path / "words.csv").write_text("letter,target\n" + "\n".join(rows), encoding="utf-8")
    path = tmp_path / "words.toml"
    path.write_text('[data]\nsource = "words.csv"\ntarget = "target"\n', encoding="utf-8")
    _, dataset = prepare(load_study(path))
    assert len(dataset.features) == 2
    assert not in_a_plane(dataset)


def test_contact_sheets_show_the_worst_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in enumerate(("bird", "cat", "fish")):
        for number in range(20):
            picture = noise(100 * place + number, 5, 5) // 2 + 40 * place
            write_picture(tmp_path / "data" / name / f"{number}.png", picture)
    study, dataset = prepare(load_study(stored(tmp_path, "data")))
    sheets, sheet = [], contact.contact_sheet

    def seen(pictures: Any, captions: Any, title: str) -> bytes:
        sheets.append((pictures, list(captions)))
        return sheet(pictures, captions, title)

    monkeypatch.setattr(contact, "contact_sheet", seen)
    files = report_files(tmp_path)
    assert files["pictures.png"].startswith(b"\x89PNG")
    assert files["wrong.png"].startswith(b"\x89PNG")
    (first, labels), (wrong, captions) = sheets
    rows = np.linspace(0, len(dataset.train) - 1, 24).round().astype(int)
    assert np.array_equal(first, dataset.pictures(dataset.train.x)[rows])
    assert labels == [dataset.classes[y] for y in dataset.train.y[rows]]

    best = max(trials_of(tmp_path), key=lambda t: (t.value, -(t.loss or 0)))
    shares = predict(study, make_problem(study, dataset, "cpu"), best, dataset.valid.x)
    given = shares[np.arange(len(shares)), dataset.valid.y]
    worst = int(given.argmin())
    assert np.array_equal(wrong[0], dataset.pictures(dataset.valid.x)[worst])
    assert captions[0].startswith(dataset.classes[dataset.valid.y[worst]])
    assert f"→ {dataset.classes[shares[worst].argmax()]} {shares[worst].max():.0%}" in captions[0]
    assert len(captions) == len(dataset.valid)


def test_a_report_trains_nothing_unless_it_is_asked_for_images(tmp_path: Path) -> None:
    stored(tmp_path, "xor")
    words = ["report", "small", "--storage", url(tmp_path / "x.db"), "--out", str(tmp_path / "plain")]
    plain = command(*words)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout == ""
    assert len(plain.stderr.splitlines()) == 2
    assert plain.stderr.splitlines()[1].endswith(f"--out {tmp_path / 'plain'} --images")
    assert not (tmp_path / "plain/boundary.png").exists()
    code = (
        "import sys; from hpsearch.cli.app import app; "
        f"app({words!r}, standalone_mode=False); "
        "print(sorted({'torch', 'sklearn', 'hpsearch.train'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with_images = command(*words, "--images")
    assert len(with_images.stderr.splitlines()) == 1
    assert (tmp_path / "plain/boundary.png").read_bytes().startswith(b"\x89PNG")
    refused = command(*words[:4], "--images")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--images are files: give --out DIR" in refused.stderr
