"""Sources: built-in, generated and table files give the rows that independent readers find."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import Delaunay
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

from hpsearch.data import Dataset, load_dataset, sources
from hpsearch.data.raw import Raw, Refuse
from hpsearch.data.sources import Kind
from hpsearch.records import Task
from hpsearch.study.file import load_study
from hpsearch.study.schema import DataSection

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
PMLB = SHARED / "pmlb"
PARTS = ("train", "valid", "test")


def arrays(dataset: Dataset) -> list[bytes]:
    return [array.tobytes() for part in PARTS for array in vars(getattr(dataset, part)).values()]


def mixed_table() -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "length": random.normal(10, 3, 60).round(3),
            "count": random.integers(0, 9, 60),
            "colour": random.choice(["red", "green", "blue"], 60),
            "class": np.array(["yes", "no"])[np.arange(60) % 2],
        }
    )
    frame.loc[[3, 30], "length"] = np.nan
    frame.loc[[7, 31], "colour"] = None
    return frame


@pytest.mark.parametrize(
    ("source", "task", "shape", "classes"),
    [
        ("digits", Task.MULTICLASS, (1797, 64), 10),
        ("breast_cancer", Task.BINARY, (569, 30), 2),
        ("wine", Task.MULTICLASS, (178, 13), 3),
        ("iris", Task.MULTICLASS, (150, 4), 3),
        ("diabetes", Task.REGRESSION, (442, 10), 0),
        ("xor", Task.BINARY, (400, 2), 2),
        ("spiral", Task.MULTICLASS, (400, 2), 3),
        ("paws", Task.BINARY, (400, 2), 2),
    ],
)
def test_built_in_sources_have_their_shape_and_exact_types(
    source: str, task: Task, shape: tuple[int, int], classes: int
) -> None:
    dataset = load_dataset(DataSection(source=source), seed=0)
    assert dataset.task is task
    assert sum(len(getattr(dataset, part)) for part in PARTS) == shape[0]
    assert len(dataset.features) == shape[1]
    assert len(dataset.classes) == classes
    assert dataset.outputs == (classes if task is Task.MULTICLASS else 1)
    for part in (dataset.train, dataset.valid, dataset.test):
        assert part.x.dtype == np.float32
        assert part.x.flags.c_contiguous
        assert part.x.shape == (len(part.y), shape[1])
        assert part.y.dtype == (np.int64 if task is Task.MULTICLASS else np.float32)


def test_digits_are_divided_as_documented() -> None:
    dataset = load_dataset(DataSection(source="digits"), seed=0)
    assert [len(getattr(dataset, part)) for part in PARTS] == [1078, 359, 360]


def test_named_classes_stand_for_the_right_rows() -> None:
    dataset = load_dataset(DataSection(source="breast_cancer"), seed=1)
    assert dataset.classes == ("benign", "malignant")
    bunch = datasets.load_breast_cancer()
    malignant = int((np.asarray(bunch.target_names)[bunch.target] == "malignant").sum())
    assert sum(float(getattr(dataset, part).y.sum()) for part in PARTS) == malignant


@pytest.mark.parametrize("source", ["iris", "diabetes", "xor", "spiral"])
def test_same_arguments_give_the_same_bits_and_another_seed_another_split(source: str) -> None:
    first, again, other = (load_dataset(DataSection(source=source), seed=seed) for seed in (3, 3, 4))
    assert arrays(first) == arrays(again)
    assert first.hash == again.hash
    assert arrays(first) != arrays(other)
    assert (first.hash == other.hash) is (source in ("iris", "diabetes"))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    np.random.seed(1)
    first = load_dataset(DataSection(source="xor"), seed=0)
    state = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    np.random.seed(2)
    assert arrays(load_dataset(DataSection(source="xor"), seed=0)) == arrays(first)
    np.random.seed(1)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index, union-attr]


def test_xor_without_noise_is_the_signs_of_the_coordinates() -> None:
    dataset = load_dataset(DataSection(source="xor", rows=1000, noise=0), seed=0)
    rows = [getattr(dataset, part) for part in PARTS]
    x, y = np.concatenate([part.x for part in rows]), np.concatenate([part.y for part in rows])
    assert len(y) == 1000
    # Standardising moves the axes a little: only points clearly inside a quadrant are asked.
    clear = np.abs(x).min(axis=1) > 0.25
    assert ((x[clear, 0] * x[clear, 1] < 0) == (y[clear] == 1)).all()


def test_spiral_arms_are_interleaved() -> None:
    dataset = load_dataset(DataSection(source="spiral", rows=600, noise=0), seed=0)
    x, y = dataset.train.x, dataset.train.y
    centres = np.array([x[y == arm].mean(axis=0) for arm in range(3)])
    nearest_centre = np.argmin(((x[:, None] - centres) ** 2).sum(axis=2), axis=1)
    distances = ((x[:, None] - x) ** 2).sum(axis=2) + np.eye(len(x)) * 9
    assert (nearest_centre == y).mean() < 0.7
    assert (y[distances.argmin(axis=1)] == y).mean() > 0.95


def test_paws_are_two_discs_inside_of_their_hull() -> None:
    dataset = load_dataset(DataSection(source="paws", rows=2000, noise=0), seed=0)
    parts = [getattr(dataset, part) for part in PARTS]
    x, y = np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])
    assert y.mean() == 0.5
    paws = x[y == 1]
    sides = [paws[paws[:, 0] < 0], paws[paws[:, 0] > 0]]
    for paw in sides:  # a disc is convex: no point of the other class lies inside of it
        assert not (Delaunay(paw).find_simplex(x[y == 0]) >= 0).any()
        assert len(paw) > 400
    between = np.abs(x[y == 0][:, 0]) < 0.1
    assert between.sum() > 20
    around = Delaunay(x[y == 0])
    assert (around.find_simplex(paws) >= 0).all()
    assert not (Delaunay(paws).find_simplex(x[y == 0]) < 0).all()
    linear = LogisticRegression().fit(x, y)
    assert linear.score(x, y) < 0.65
    assert np.hypot(np.abs(x[:, 0]), x[:, 1]).max() < 3


def test_every_form_of_a_table_gives_the_same_arrays(tmp_path: Path) -> None:
    frame = mixed_table()
    text = frame.to_csv(index=False)
    semicolons = frame.to_csv(index=False, sep=";", decimal=",")
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "windows.csv").write_bytes(text.replace("\n", "\r\n").encode())
    (tmp_path / "blank.csv").write_text("\n" + text.replace("\n", "\n\n"))
    (tmp_path / "semicolons.csv").write_text(semicolons)
    (tmp_path / "t.tsv").write_text(frame.to_csv(index=False, sep="\t"))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "t.CSV.XZ").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "t.tsv.xz").write_bytes(lzma.compress((tmp_path / "t.tsv").read_bytes()))
    frame.to_parquet(tmp_path / "t.parquet")
    loaded = {
        path.name: load_dataset(DataSection(source=path.name, target="class"), seed=0, base=tmp_path)
        for path in tmp_path.iterdir()
    }
    assert len(loaded) == 10
    reference = loaded["t.csv"]
    for name, dataset in loaded.items():
        assert arrays(dataset) == arrays(reference), name
        assert dataset.features == reference.features, name
    assert reference.hash == loaded["t.csv.gz"].hash == loaded["t.CSV.XZ"].hash
    assert loaded["t.parquet"].hash != reference.hash
    assert reference.notes == (
        "2 missing numbers replaced by the training set's median",
        '2 missing texts kept as the category "missing"',
    )


def test_the_hash_follows_the_content_not_the_split(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    mixed_table().to_csv(path, index=False)
    section = DataSection(source=str(path), target="class")
    before = load_dataset(section, seed=0).hash
    assert load_dataset(section, seed=9).hash == before
    path.write_text(path.read_text().replace("red", "rod", 1))
    assert load_dataset(section, seed=0).hash != before


def test_quoted_values_may_hold_delimiters_and_line_breaks(tmp_path: Path) -> None:
    rows = "\n".join(f'{i},"{"a, b" if i % 2 else "c;" + chr(10) + "d"}",{i % 4 // 2}' for i in range(40))
    (tmp_path / "t.csv").write_text(f"n, what ,target\n{rows}\n")
    dataset = load_dataset(DataSection(source="t.csv", target="target"), seed=0, base=tmp_path)
    assert dataset.features == ("n", "what=a, b", "what=c;\nd")


def test_a_wide_table_with_a_very_long_header(tmp_path: Path) -> None:
    names = [f"a rather long name of a column, {i}" for i in range(5000)]
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 9, (30, 5000)), columns=names)
    frame.assign(y=["a", "b"] * 15).to_csv(tmp_path / "t.csv", index=False)
    dataset = load_dataset(DataSection(source="t.csv", target="y"), seed=0, base=tmp_path)
    assert dataset.features == tuple(names)


def test_words_as_classes_in_a_tsv_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(60), "kind": ["Hund", "Katze", "Maus"] * 20})
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    dataset = load_dataset(DataSection(source="t.tsv", target="kind"), seed=0, base=tmp_path)
    assert (dataset.task, dataset.classes) == (Task.MULTICLASS, ("Hund", "Katze", "Maus"))
    numbers = dataset.train.x[:, 0].argsort()
    order = dataset.train.y[numbers]
    assert set(order.tolist()) == {0, 1, 2}


def test_a_column_of_row_numbers_without_a_name_is_left_out(tmp_path: Path) -> None:
    mixed_table().to_csv(tmp_path / "t.csv")
    dataset = load_dataset(DataSection(source="t.csv", target="class"), seed=0, base=tmp_path)
    assert dataset.features[:2] == ("length", "count")
    assert "a column without a name is left out" in dataset.notes


SOURCES_ELSEWHERE = {
    "cats-and-dogs": "cats-dogs-cifar32/cats-dogs-cifar32.zip",
    "fashion-mnist": "fashion-mnist",
    "lecture": "cats-dogs-cifar32/cats-dogs-cifar32.zip",
}


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_the_studies_that_come_along_load_and_fit_their_task(path: Path) -> None:
    overrides = ["data.n_images=500"] if path.stem in SOURCES_ELSEWHERE else []
    if elsewhere := SOURCES_ELSEWHERE.get(path.stem):
        source = SHARED / elsewhere
        if not source.exists():
            pytest.skip(f"the data of {path.name} are not beside this checkout")
        overrides.append(f"data.source={source}")
    study = load_study(path, overrides)
    dataset = load_dataset(study.data, study.seed, path.parent, study.source.complaint)
    assert study.resolve(dataset.task).direction == (
        "minimize" if dataset.task is Task.REGRESSION else "maximize"
    )


def test_penguins_have_text_missing_values_and_grams() -> None:
    study = load_study(ROOT / "studies" / "penguins.toml")
    dataset = load_dataset(study.data, study.seed, ROOT / "studies")
    grams = dataset.valid.y * dataset.target_std + dataset.target_mean
    written = pd.read_csv(ROOT / "studies" / "data" / "penguins.csv")["body_mass_g"].dropna()
    assert np.isin(grams.round().astype(int), written.astype(int)).all()
    assert {"island=Biscoe", "sex=missing", "bill_length_mm"} <= set(dataset.features)
    assert '2 rows without "body_mass_g" left out' in dataset.notes


@pytest.mark.skipif(not PMLB.is_dir(), reason="the PMLB tables are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "task", "rows", "classes"),
    [
        ("car", Task.MULTICLASS, 1728, 4),
        ("letter", Task.MULTICLASS, 20000, 26),
        ("phoneme", Task.BINARY, 5404, 2),
        ("vehicle", Task.MULTICLASS, 846, 4),
        ("537_houses", Task.REGRESSION, 20640, 0),
    ],
)
def test_pmlb_tables(name: str, task: Task, rows: int, classes: int) -> None:
    dataset = load_dataset(DataSection(source=f"{name}.tsv.gz", target="target"), seed=0, base=PMLB)
    assert dataset.task is task
    assert sum(len(getattr(dataset, part)) for part in PARTS) == rows
    assert len(dataset.classes) == classes
    assert np.isfinite(dataset.train.x).all()


def test_a_new_kind_of_source_is_a_line_in_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed-width columns, which no reader here knows: trained on, cached and predicted."""
    import hpsearch

    def frame(path: Path) -> pd.DataFrame:
        return pd.read_fwf(path)

    def read(path: Path, data: DataSection, refuse: Refuse) -> Raw:
        if data.target is None:
            raise refuse("target", "is missing")
        return Raw(path.name, frame(path), data.target, "0" * 64)

    kind = Kind(lambda path: path.suffix == ".fwf", read, lambda path, refuse: frame(path), True)
    monkeypatch.setattr(sources, "SOURCES", {"fixed width": kind, **sources.SOURCES})
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"a": random.normal(size=90).round(3), "b": random.normal(size=90).round(3)})
    rows["y"] = np.where(rows.a + rows.b > 0, "yes", "no")
    (tmp_path / "t.fwf").write_text(rows.to_string(index=False) + "\n", encoding="utf-8")
    text = '[data]\nsource = "t.fwf"\ntarget = "y"\n[train]\nepochs = 3\n[search]\ntrials = 2\n'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    storage = f"sqlite:///{tmp_path}/x.db"
    hpsearch.run(tmp_path / "s.toml", storage=storage, confirm=False)
    exported = hpsearch.export("s", out=tmp_path / "model", storage=storage)
    assert len(hpsearch.predict(exported.folder, tmp_path / "t.fwf")) == 90
