"""Predictions of exported models, against the trainer's own numbers and scikit-learn's metrics."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hpsearch
from hpsearch.data import Image
from hpsearch.data.features import FREQUENT, read_features
from hpsearch.data.load import load_dataset
from hpsearch.data.new_rows import Expected, read_rows
from hpsearch.data.raw import Raw
from hpsearch.errors import DataError, HpsearchError
from hpsearch.records import Task
from hpsearch.reporting.predictions import predictions_bytes
from hpsearch.study.schema import DataSection
from tests.model_study import CLASSES, NASTY, Trained, run_study, run_table, table_with
from tests.pictures import class_folders, noise, write_picture, zip_folder
from tests.whole_study import call

TASKS = [
    ("binary", ""),
    ("binary", 'metric = "auc"'),
    ("multiclass", 'metric = "f1"'),
    ("regression", 'metric = "r2"'),
    ("positive_regression", 'metric = "mae"\nrepresentation = "softplus"\nloss = "poisson"'),
    ("positive_regression", 'representation = "relu"'),
]


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path, Path]:
    """A study of the hostile table with classes, the table, and the folder of its model."""
    folder = tmp_path_factory.mktemp("binary")
    trained, table = run_table(folder, "binary")
    trained.export(folder / "m")
    return trained, table, folder / "m"


def scored(metric: str, task: Task, frame: pd.DataFrame, truth: pd.Series[Any]) -> float:
    """scikit-learn's metric of predictions."""
    if task in (Task.REGRESSION, Task.POSITIVE_REGRESSION):
        own = {
            "rmse": metrics.root_mean_squared_error,
            "mae": metrics.mean_absolute_error,
            "r2": metrics.r2_score,
        }
        return float(own[metric](truth, frame["predicted"]))
    if metric == "auc":
        return float(metrics.roc_auc_score(truth == max(CLASSES[:2]), frame[f"p_{max(CLASSES[:2])}"]))
    if metric == "f1":
        return float(metrics.f1_score(truth, frame["predicted"], average="macro"))
    return float(metrics.accuracy_score(truth, frame["predicted"]))


@pytest.mark.parametrize(("target", "train"), TASKS)
def test_the_studys_own_validation_rows_get_the_score_that_is_stored(
    tmp_path: Path, target: str, train: str
) -> None:
    trained, path = run_table(tmp_path, target, train)
    model = trained.export(tmp_path / "m")
    table = pd.read_csv(path)
    valid = (table["part"] == "valid").to_numpy()
    rows = model.prepare(path)
    assert np.array_equal(rows.x[valid], trained.dataset.valid.x)
    assert np.array_equal(rows.x[(table["part"] == "test").to_numpy()], trained.dataset.test.x)
    assert rows.notes[-1:] == ("23 missing numbers replaced by the training set's median",)
    outputs = model.outputs(rows.x)
    np.testing.assert_allclose(outputs, trained.reference(rows.x), rtol=1e-5, atol=1e-6)
    frame = model.predict(path)[valid].reset_index(drop=True)
    found = scored(model.metric, model.task, frame, table.loc[valid, "aim"])
    assert trained.trial.value is not None
    assert found == pytest.approx(trained.trial.value, rel=1e-5)
    again = model.score(model.prepare(table[valid]), outputs[valid])
    assert again == (pytest.approx(trained.trial.value, rel=1e-6), valid.sum())


def test_probabilities_are_those_of_the_class_that_is_predicted(
    binary: tuple[Trained, Path, Path],
) -> None:
    _, table, folder = binary
    frame = hpsearch.load_model(folder).predict(table)
    shares = frame[[f"p_{name}" for name in sorted(CLASSES[:2])]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-12)
    named = shares.idxmax(axis=1).str.removeprefix("p_")
    assert (named == frame["predicted"]).all()
    assert frame["row"].tolist() == list(range(1, 161))


numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 1e-300, 1e30]))
texts = st.one_of(st.none(), st.sampled_from(["", "=1", "\x1b", "ü", "a\nb"]), st.text(max_size=3))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, texts), min_size=8, max_size=30),
    st.lists(st.tuples(numbers, numbers, texts), min_size=1, max_size=5),
)
def test_prepared_rows_are_scikit_learns_bit_for_bit(
    train: list[tuple[Any, ...]], new: list[tuple[Any, ...]]
) -> None:
    frame = pd.DataFrame(train + new, columns=["a", "b", "word"])
    frame[["a", "b"]] = frame[["a", "b"]].astype(float)
    frame["word"] = frame["word"].astype(object)
    rows = np.arange(len(train))
    try:
        found = read_features(Raw("t", frame, "y", ""), ["a", "b", "word"], rows)
    except DataError:
        assume(False)
    clean = frame.assign(word=frame["word"].where(frame["word"].notna(), "missing"))
    holes = frame[["a", "b"]].iloc[rows].isna().mean()
    flags = [name for name in holes.index if FREQUENT <= holes[name] < 1]
    clean = clean.assign(**{f"{name} (missing)": frame[name].isna().astype(float) for name in flags})
    reference = ColumnTransformer(
        [
            (
                "n",
                make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
                ["a", "b", *(f"{name} (missing)" for name in flags)],
            ),
            ("t", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["word"]),
        ]
    ).fit(clean.iloc[rows])
    expected = reference.transform(clean).astype(np.float32)
    expected[:, expected[rows].min(axis=0) == expected[rows].max(axis=0)] = 0
    assert np.array_equal(found.x, expected)


def test_rows_may_lack_the_target_and_have_more_columns(
    binary: tuple[Trained, Path, Path], tmp_path: Path
) -> None:
    _, table, folder = binary
    frame = pd.read_csv(table)
    other = frame.drop(columns=["aim", "part"]).assign(more=1.0)[["more", *frame.columns[-3::-1]]]
    other.to_csv(tmp_path / "new.csv", index=False)
    model = hpsearch.load_model(folder)
    pd.testing.assert_frame_equal(model.predict(tmp_path / "new.csv"), model.predict(table))
    rows = model.prepare(tmp_path / "new.csv")
    assert rows.truth is None
    assert rows.notes[0] == '1 column that the model does not know left out: "more"'


def test_a_few_rows_are_read_as_the_whole_table_was(
    binary: tuple[Trained, Path, Path], tmp_path: Path
) -> None:
    """Of rows that have only "1" and "2" in a column of text, or only true and false."""
    _, table, folder = binary
    model = hpsearch.load_model(folder)
    lines = pd.read_csv(table, dtype=str, keep_default_na=False)
    some = lines[lines["codes"].isin(["1", "2"]) & (lines["truth"] != "")]
    some.to_csv(tmp_path / "some.csv", index=False)
    some.assign(truth=some["truth"].str.upper()).to_csv(tmp_path / "loud.csv", index=False)
    expected = model.prepare(table).x[some.index]
    assert np.array_equal(model.prepare(tmp_path / "some.csv").x, expected)
    assert np.array_equal(model.prepare(tmp_path / "loud.csv").x, expected)
    pd.read_csv(tmp_path / "some.csv").to_parquet(tmp_path / "some.parquet")
    assert np.array_equal(model.prepare(tmp_path / "some.parquet").x, expected)


def test_unknown_words_are_no_category_and_missing_numbers_the_median(
    binary: tuple[Trained, Path, Path],
) -> None:
    trained, table, folder = binary
    model = hpsearch.load_model(folder)
    frame = pd.read_csv(table).head(2).assign(words="never seen")
    frame["with holes"] = [np.nan, np.inf]
    rows = model.prepare(frame)
    names = np.array(model.features)
    assert (rows.x[:, [name.startswith("words=") for name in names]] == 0).all()
    part = pd.read_csv(table).query("part == 'train'")["with holes"]
    expected = (part.median() - part.fillna(part.median()).mean()) / part.fillna(part.median()).std(ddof=0)
    assert rows.x[:, names == "with holes"] == pytest.approx(np.float32(expected))
    assert any('column "words": 2 texts that training had not' in note for note in rows.notes)
    assert trained.dataset.features == model.features


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.drop(columns=["words", NASTY]), "2 columns missing"),
        (lambda f: f.rename(columns={"words": "word"}), 'did you mean "word"?'),
        (lambda f: f.assign(constant="much"), 'row 1: column "constant": expected a number'),
        (lambda f: f.assign(constant=1e300), None),
        (lambda f: f.assign(**{NASTY: 1e300}), "too large to standardise"),
        (lambda f: f.assign(constant=pd.Timestamp("2020-01-01")), "expected numbers, as in training"),
        (lambda f: f.head(0), "expected rows"),
        (lambda f: pd.concat([f, f[["words"]]], axis=1), 'more than one "words"'),
    ],
)
def test_rows_that_do_not_fit_are_complained_about(
    binary: tuple[Trained, Path, Path], change: Any, expected: str | None
) -> None:
    _, table, folder = binary
    model = hpsearch.load_model(folder)
    if expected is None:  # a constant of training is 0 whatever it is
        model.predict(change(pd.read_csv(table)))
        return
    with pytest.raises(DataError) as caught:
        model.predict(change(pd.read_csv(table)))
    assert expected in str(caught.value)


def test_the_command_writes_csv_that_nobody_obeys(binary: tuple[Trained, Path, Path], tmp_path: Path) -> None:
    trained, table, folder = binary
    result = call("predict", folder, table)
    assert "\x1b" not in result.output
    frame = pd.read_csv(StringIO(result.stdout))
    assert list(frame.columns) == ["row", "predicted", "p_<script>", "p_=2*3"]
    assert set(frame["predicted"]) <= {"<script>", "'=2*3"}
    assert 'on 160 rows with a known "aim"' in result.stderr
    call("predict", folder, table, "--out", tmp_path / "p.parquet")
    call("predict", folder, table, "--out", tmp_path / "p.json")
    own = hpsearch.load_model(folder).predict(table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), own)
    document = json.loads((tmp_path / "p.json").read_text())
    assert document["format"] == "hpsearch.predictions/1"
    assert document["rows"] == own.astype(object).to_numpy().tolist()
    assert document["model"]["number"] == trained.trial.number


def test_names_of_classes_are_inert_in_csv_and_json(binary: tuple[Trained, Path, Path]) -> None:
    _, table, folder = binary
    nasty = ("\x1b[2J", "=1\n,2")
    model = replace(hpsearch.load_model(folder), classes=nasty)
    frame = model.predict(table)
    assert set(frame["predicted"]) == set(nasty)
    text = predictions_bytes(model, frame, "csv").decode()
    read = pd.read_csv(StringIO(text))
    assert list(read.columns)[2:] == ["p_\\x1b[2J", "p_=1\\n,2"]
    assert set(read["predicted"]) == {"\\x1b[2J", "'=1\\n,2"}
    assert all(c.isprintable() for c in set(text) - {"\n"})
    document = predictions_bytes(model, frame, "json")
    assert document.isascii()
    assert b"\x1b" not in document
    assert json.loads(document)["classes"] == list(nasty)


def test_what_cannot_be_written_or_read_is_said(binary: tuple[Trained, Path, Path], tmp_path: Path) -> None:
    _, table, folder = binary
    with pytest.raises(HpsearchError, match="cannot be written"):
        call("predict", folder, table, "--out", tmp_path / "none" / "p.csv")
    with pytest.raises(DataError, match=r"t\.csb: no such file; did you mean"):
        call("predict", folder, table.with_suffix(".csb"))
    with pytest.raises(DataError, match="found images"):
        call("predict", folder, _pictures(tmp_path / "p"))


def _pictures(folder: Path) -> Path:
    class_folders(folder, {"cat": 2, "dog": 2})
    return folder


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    class_folders(folder / "p", {"cat": 30, "dog": 30, "=cow": 30})
    trained = run_study(folder, "p", "image_size = [4, 5]")
    trained.export(folder / "m")
    return trained, folder


def test_pictures_in_class_folders_are_scored(pictured: tuple[Trained, Path]) -> None:
    trained, folder = pictured
    model = hpsearch.load_model(folder / "m")
    rows = model.prepare(folder / "p")
    assert rows.files[0] == "=cow/000.png"
    assert rows.truth is not None
    assert [model.classes[place] for place in rows.truth] == [name.split("/")[0] for name in rows.files]
    # Every validation picture is among them, prepared alike.
    own = {row.tobytes() for row in rows.x}
    assert all(row.tobytes() in own for row in trained.dataset.valid.x)
    assert rows.notes == ("90 of 90 images resized to the model's 4 × 5 pixels",)
    frame = pd.read_csv(StringIO(call("predict", folder / "m", folder / "p").stdout))
    assert list(frame.columns) == ["file", "predicted", "p_=cow", "p_cat", "p_dog"]
    assert frame["file"][0] == "'=cow/000.png"


def test_pictures_may_lie_flat_in_an_archive_or_alone(pictured: tuple[Trained, Path], tmp_path: Path) -> None:
    _, folder = pictured
    model = hpsearch.load_model(folder / "m")
    expected = model.predict(folder / "p").drop(columns="file").head(3)
    for place in range(3):
        shutil.copy(folder / "p" / "=cow" / f"{place:03}.png", _made(tmp_path / "flat") / f"{place}.png")
    (tmp_path / "flat" / "notes.txt").write_text("none")
    flat = model.predict(tmp_path / "flat")
    assert flat["file"].tolist() == ["0.png", "1.png", "2.png"]
    pd.testing.assert_frame_equal(flat.drop(columns="file"), expected)
    packed = model.predict(zip_folder(tmp_path / "flat", tmp_path / "f.zip"))
    pd.testing.assert_frame_equal(packed, flat)
    one = model.predict(tmp_path / "flat" / "1.png")
    pd.testing.assert_frame_equal(one, flat.iloc[[1]].reset_index(drop=True))
    assert model.score(model.prepare(tmp_path / "flat"), model.outputs(np.zeros((3, 60), np.float32))) is None
    (tmp_path / "flat" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(DataError, match=r'1 of 3 images cannot be read: "1.png"'):
        model.predict(tmp_path / "flat")


def test_models_without_a_range_are_of_eight_bits(pictured: tuple[Trained, Path], tmp_path: Path) -> None:
    _, folder = pictured
    shutil.copytree(folder / "m", tmp_path / "m")
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    del document["sha256"]
    for key in ("dtype", "low", "high", "levels"):
        del document["preprocessing"][key]
    (tmp_path / "m" / "model.json").write_text(json.dumps(document))
    old = hpsearch.load_model(tmp_path / "m")
    assert isinstance(old.form, Image)
    assert (old.form.dtype, old.form.low, old.form.high) == ("uint8", 0, 255)
    expected = hpsearch.load_model(folder / "m").predict(folder / "p")
    pd.testing.assert_frame_equal(old.predict(folder / "p"), expected)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_arrays_of_pictures_need_no_labels(pictured: tuple[Trained, Path], tmp_path: Path) -> None:
    _, folder = pictured
    model = hpsearch.load_model(folder / "m")
    pixels = noise(0, 5, 4, 5, 3)
    np.savez(tmp_path / "x.npz", x=pixels)
    np.savez(
        tmp_path / "xy.npz", x_train=pixels[:3], y_train=["cat"] * 3, x_test=pixels[3:], y_test=["ox"] * 2
    )
    for place, each in enumerate(pixels):
        write_picture(tmp_path / "f" / f"{place}.png", each)
    files = model.predict(tmp_path / "f")
    pd.testing.assert_frame_equal(
        model.predict(tmp_path / "x.npz").drop(columns="row"), files.drop(columns="file")
    )
    rows = model.prepare(tmp_path / "xy.npz")
    found = model.score(rows, model.outputs(rows.x))
    assert found == (pytest.approx((files["predicted"].head(3) == "cat").mean()), 3)
    head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (5, 4, 5))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(head + pixels[..., 0].tobytes())
    assert len(model.predict(tmp_path / "t10k-images-idx3-ubyte")) == 5
    with pytest.raises(DataError, match="expected images"):
        model.predict(table_with("binary"))


def test_plain_arrays_and_built_in_sources_are_tables(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 3))
    y = (x[:, 0] > 0).astype(int) * 3 + 4
    np.savez(tmp_path / "xy.npz", x=x, y=y)
    np.savez(tmp_path / "x.npz", x=x)
    model = run_study(tmp_path, "xy.npz").export(tmp_path / "m")
    assert model.classes == ("4", "7")
    frame = model.predict(tmp_path / "x.npz")
    pd.testing.assert_frame_equal(frame, model.predict(tmp_path / "xy.npz"))
    rows = model.prepare(tmp_path / "xy.npz")
    found = model.score(rows, model.outputs(rows.x))
    assert found == (pytest.approx((frame["predicted"].astype(int) == y).mean()), 90)
    iris = run_study(tmp_path, "iris", database="iris.db").export(tmp_path / "iris")
    assert len(iris.predict("iris")) == 150


def _image(dtype: str, low: float, high: float) -> Image:
    return Image(4, 5, (0.0,), (1.0,), dtype, low, high)  # type: ignore[arg-type]


def _read(path: Path, image: Image, **arrays: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Pixels [n, 20] and notes of new images, as a model with mean 0 and deviation 1 takes them."""
    if arrays:
        np.savez(path, **arrays)
    rows = read_rows(path, Expected(image, "label", ("0", "1")))
    return rows.x, rows.notes


def test_new_images_are_read_in_the_range_of_training(tmp_path: Path) -> None:
    path, grey = tmp_path / "x.npz", noise(0, 3, 4, 5)
    grey[0, 0, :2] = 0, 255
    flat = grey.reshape(3, 20)
    shares = grey / 255
    model = _image("float32", 0, 1)
    np.testing.assert_allclose(_read(path, model, x=shares)[0], flat / 255, rtol=1e-6)
    over = shares.copy()
    over[1, 1, 1] = 1.00001
    x, notes = _read(path, model, x=over)
    np.testing.assert_allclose(x, over.reshape(3, 20), rtol=1e-6)
    assert notes == ("1 pixel value outside the range of the training set, 0 to 1; found 0 to 1.00001",)
    x, notes = _read(path, model, x=grey)
    np.testing.assert_allclose(x, flat / 255, rtol=1e-6)
    assert notes == ("pixels from 0 to 255 scaled to the model's 0 to 1",)
    for number, each in enumerate(grey):
        write_picture(tmp_path / "f" / f"{number}.png", each)
    np.testing.assert_allclose(_read(tmp_path / "f", model)[0], flat / 255, rtol=1e-6)
    signed = _image("float32", -1, 1)
    x, notes = _read(path, signed, x=shares * 2 - 1.5)
    np.testing.assert_allclose(x, (shares * 2 - 1.5).reshape(3, 20), atol=1e-6)
    assert "outside the range of the training set, -1 to 1; found -1.5 to 0.5" in notes[0]
    for source in (path, tmp_path / "f"):
        with pytest.raises(
            DataError, match="expected pixels in the range of the training set, -1 to 1; found"
        ):
            _read(source, signed, **({"x": grey} if source == path else {}))


def test_a_model_of_whole_pixels_takes_shares_and_other_depths(tmp_path: Path) -> None:
    path, grey = tmp_path / "x.npz", noise(0, 3, 4, 5)
    grey[0, 0, :2] = 0, 255
    flat = grey.reshape(3, 20)
    model = Image(4, 5, (0.0,), (1.0,))
    for values in (grey, grey.astype(np.int64), grey.astype(np.float32), grey.astype(np.uint16)):
        x, notes = _read(path, model, x=values)
        assert (x == flat).all()
        assert notes == ()
    x, notes = _read(path, model, x=grey / 255)
    assert (x == flat).all()
    assert notes == ("numbers from 0 to 1 taken for shares of 255",)
    over = grey / 255
    over[0, 0, 1] = 1.09
    x, notes = _read(path, model, x=over)
    np.testing.assert_allclose(x, (over * 255).reshape(3, 20), rtol=1e-6)
    assert notes[0] == "numbers from 0 to 1.09 taken for shares of 255"
    deep = _image("uint16", 9, 1001)
    x, notes = _read(path, deep, x=grey.astype(np.uint16) * 4)
    assert (x == flat * 4.0).all()
    assert notes == ()
    x, notes = _read(path, deep, x=grey)
    assert (x == flat * 257.0).all()
    assert notes[0] == "pixels from 0 to 255 scaled to the model's 0 to 65535"
    assert "outside the range of the training set, 9 to 1001; found 0 to 65535" in notes[1]
    with pytest.raises(DataError, match="9 to 1001; found 0 to 1; scale them"):
        _read(path, deep, x=grey / 255)
    for number, each in enumerate(grey):
        write_picture(tmp_path / "f" / f"{number}.png", each.astype(np.uint16) * 256)
    x, notes = _read(tmp_path / "f", model)
    assert (x == flat).all()
    assert notes == ("3 of 3 images have 16 bits, reduced to 8",)


def test_accents_of_folders_are_compared_when_predicting(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"cafe\u0301": 2, "the": 1}, (4, 5))
    rows = read_rows(tmp_path / "a", Expected(Image(4, 5, (0.0,), (1.0,)), "folder", ("caf\u00e9", "the")))
    assert rows.truth is not None
    assert rows.truth.tolist() == [0, 0, 1]


def _priced(folder: Path, name: str, prices: list[str], kinds: list[str]) -> Path:
    lines = [
        "rooms;rent;kind",
        *(f"{at % 5 + 1};{p};{k}" for at, (p, k) in enumerate(zip(prices, kinds, strict=True))),
    ]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def test_new_rows_have_the_decimal_mark_of_training(tmp_path: Path) -> None:
    prices = [f"{1 + at % 2}.{300 + 7 * at},50" for at in range(60)]
    kinds = ["cheap" if price < "2" else "dear" for price in prices]
    _priced(tmp_path, "t.csv", prices, kinds)
    model = run_study(tmp_path, "t.csv", 'target = "kind"').export(tmp_path / "m")
    assert len(repr(model).splitlines()) == 3
    assert 'binary model of "kind": 2 classes (cheap, dear)' in repr(model)
    assert "features: 2 features (rooms, rent)" in repr(model)
    assert len(model.predict(_priced(tmp_path, "good.csv", ["1.400,50"], ["cheap"]))) == 1
    with pytest.raises(DataError, match=r'new.csv:3: column "rent".*"999.99"'):
        model.predict(_priced(tmp_path, "new.csv", ["1.400,50", "999.99"], ["cheap", "dear"]))
    strange = _priced(tmp_path, "strange.csv", ["1.400,50"] * 30, ["other"] * 30)
    done = call("predict", tmp_path / "m", strange)
    assert "30 labels of 30 that the model does not know" in done.stderr
    assert "accuracy" not in done.stderr
    with pytest.warns(UserWarning, match="30 labels of 30"):
        model.predict(strange)


def expected_of(folder: Path, header: str, rows: list[str], **keys: Any) -> Expected:
    """What a model trained on such a table would take."""
    (folder / "train.csv").write_text("\n".join([header, *rows * 20, ""]))
    section = DataSection.model_validate({"source": "train.csv", "target": "y", **keys})
    data = load_dataset(section, 0, folder)
    assert data.columns is not None
    return Expected(data.columns, data.target, data.classes, data.ignored)


def test_columns_that_training_left_out_are_not_unknown(tmp_path: Path) -> None:
    words = ["one more remark", "and another one", "yet another one"]
    rows = [f"{n},{n / 2},{words[n % 3]} {n},z,{'ab'[n % 2]}" for n in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["id,x,remark,c,y", *rows, ""]))
    study = tmp_path / "s.toml"
    study.write_text(
        '[data]\nsource = "t.csv"\ntarget = "y"\ncolumns = { c = "ignore" }\n'
        "[space]\nlearning_rate = 0.1\n[train]\nepochs = 1\n[search]\ntrials = 1\n"
    )
    storage = f"sqlite:///{tmp_path / 's.db'}"
    hpsearch.run(study, storage=storage)
    model = hpsearch.export(study, out=tmp_path / "m", storage=storage).model
    assert model.ignored == ("c", "id", "remark")
    frame = pd.read_csv(tmp_path / "t.csv").head(3)
    assert hpsearch.load_model(tmp_path / "m").prepare(frame).notes == ()
    assert "1 column that the model does not know" in model.prepare(frame.assign(new=1)).notes[0]


def test_numbers_in_another_unit_are_refused_and_those_without_are_counted(tmp_path: Path) -> None:
    expected = expected_of(tmp_path, "p,y", ["5 kg,a", "7 kg,b", "9 kg,b"])
    (tmp_path / "new.csv").write_text("p\n5000 g\n")
    with pytest.raises(DataError, match=r'new\.csv:2: column "p": expected a number in "kg".*found "5000 g"'):
        read_rows(tmp_path / "new.csv", expected)
    (tmp_path / "new.csv").write_text("p\n5\n5 kg\n")
    for source in (tmp_path / "new.csv", pd.DataFrame({"p": [5.0]})):
        found = read_rows(source, expected)
        assert found.notes == ('column "p": 1 number without the unit "kg" of training',)
    assert np.array_equal(found.x[0], read_rows(tmp_path / "train.csv", expected).x[0])


@pytest.mark.parametrize(
    ("labels", "written", "places"),
    [
        (["1", "2", "3"], ["1.0", "3", "4"], [0, 2, -1]),
        (["true", "false"], ["TRUE", "False", "no"], [1, 0, -1]),
    ],
)
def test_labels_are_those_of_training_however_they_are_written(
    tmp_path: Path, labels: list[str], written: list[str], places: list[int]
) -> None:
    rows = [f"{n},{label}" for n, label in enumerate(labels)]
    expected = expected_of(tmp_path, "x,y", rows)
    (tmp_path / "new.csv").write_text("x,y\n" + "".join(f"1,{label}\n" for label in written))
    found = read_rows(tmp_path / "new.csv", expected)
    assert found.truth is not None
    assert found.truth.tolist() == places
    assert written[-1] in found.notes[0]


def test_times_and_accents_are_read_as_in_training(tmp_path: Path) -> None:
    expected = expected_of(tmp_path, "t,c,y", ["12:30,caf\u00e9,a", "08:15,tea,b"])
    (tmp_path / "new.csv").write_text("t,c\n12:30,cafe\u0301\n")
    found = read_rows(tmp_path / "new.csv", expected)
    assert found.notes == ()
    assert np.array_equal(found.x[0], read_rows(tmp_path / "train.csv", expected).x[0])
