"""Prepared data come from the cache, and only as long as nothing they were made from has changed."""

from __future__ import annotations

import dataclasses
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpsearch import cache
from hpsearch.data import Dataset, load_dataset
from hpsearch.data.load import KEPT
from hpsearch.study.schema import DataSection, SplitSection
from tests.pictures import class_folders, noise, write_picture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "hpsearch").glob("data-*"))


def table(folder: Path, more: str = "") -> DataSection:
    rows = "".join(f"{n},{n % 7},{'ab'[n % 2]},{n % 3 > 1}\n" for n in range(60))
    (folder / "t.csv").write_text("x,y,word,target\n" + rows + more)
    return DataSection(source="t.csv", target="target")


def assert_equal(a: Dataset, b: Dataset) -> None:
    for field in dataclasses.fields(Dataset):
        ours, theirs = getattr(a, field.name), getattr(b, field.name)
        if field.name in ("train", "valid", "test"):
            for x, y in ((ours.x, theirs.x), (ours.y, theirs.y)):
                assert x.dtype == y.dtype
                assert np.array_equal(x, y)
        else:
            assert type(ours) is type(theirs)
            assert ours == theirs


@pytest.mark.parametrize("source", ["digits", "breast_cancer", "diabetes", "spiral", "t.csv"])
def test_what_is_cached_equals_what_was_prepared(folder: Path, source: str) -> None:
    data = table(folder) if source == "t.csv" else DataSection(source=source)
    prepared = load_dataset(data, 3, folder)
    (entry,) = files(folder)
    written = entry.stat().st_mtime_ns
    assert_equal(load_dataset(data, 3, folder), prepared)
    assert [entry] == files(folder)
    assert entry.stat().st_mtime_ns > written  # it counts as used


def pictures(folder: Path) -> DataSection:
    class_folders(folder / "pets", {"cat": 15, "dog": 15})
    return DataSection(source="pets")


def test_cached_pictures_equal_what_was_prepared_and_are_small(folder: Path) -> None:
    prepared = load_dataset(pictures(folder), 3, folder)
    (entry,) = files(folder)
    assert_equal(load_dataset(DataSection(source="pets"), 3, folder), prepared)
    assert [entry] == files(folder)
    with np.load(entry) as stored:
        assert stored["train_x"].dtype == np.uint8
        assert stored["train_x"].shape == (18, 4, 6, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda pets: write_picture(pets / "cat" / "001.png", noise(99, 4, 6, 3)),
        lambda pets: write_picture(pets / "cat" / "099.png", noise(99, 4, 6, 3)),
        lambda pets: (pets / "cat" / "001.png").rename(pets / "dog" / "001a.png"),
        lambda pets: (pets / "dog" / "001.png").unlink(),
        lambda pets: (pets / "notes.txt").write_text("left out, and mentioned"),
    ],
)
def test_a_folder_that_has_changed_is_read_anew(folder: Path, change: Callable[[Path], object]) -> None:
    data = pictures(folder)
    load_dataset(data, 0, folder)
    change(folder / "pets")
    changed = load_dataset(data, 0, folder)
    assert len(files(folder)) == 2
    for entry in files(folder):
        entry.unlink()
    assert_equal(load_dataset(data, 0, folder), changed)


def test_the_labels_beside_a_file_of_pictures_count_as_its_content(folder: Path) -> None:
    head = b"\0\0\x08\x03" + struct.pack(">3I", 30, 2, 2)
    (folder / "train-images-idx3-ubyte").write_bytes(head + noise(0, 120).tobytes())
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 30) + bytes([0, 1] * 15))
    data = DataSection(source="train-images-idx3-ubyte")
    before = load_dataset(data, 0, folder)
    labels.write_bytes(labels.read_bytes()[:-2] + bytes([1, 0]))
    after = load_dataset(data, 0, folder)
    assert len(files(folder)) == 2
    assert before.hash != after.hash


def test_the_cache_keeps_no_more_than_so_many_bytes(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"data-{number}.npz"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    (tmp_path / "kernel.so").write_bytes(bytes(1000))
    cache.prune(tmp_path, "data-*.npz", 5, 320)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data-3.npz", "data-4.npz", "data-5.npz", "kernel.so"
    ]  # fmt: skip


def test_other_content_settings_and_seeds_are_prepared_anew(folder: Path) -> None:
    first = load_dataset(table(folder), 0, folder)
    longer = load_dataset(table(folder, "60,4,a,True\n"), 0, folder)
    assert sum(map(len, (longer.train, longer.valid, longer.test))) == 61
    small = table(folder).model_copy(update={"split": SplitSection(valid=0.4, test=0.2)})
    assert len(load_dataset(small, 0, folder).valid) > len(first.valid)
    assert not np.array_equal(load_dataset(table(folder), 1, folder).train.x, first.train.x)
    assert len(files(folder)) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_entry_is_made_anew(folder: Path, damage: str) -> None:
    prepared = load_dataset(table(folder), 0, folder)
    (entry,) = files(folder)
    content = bytearray(entry.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 4
    entry.write_bytes({"cut": content[:middle], "flipped": content, "empty": b""}[damage])
    assert_equal(load_dataset(table(folder), 0, folder), prepared)


def test_without_a_cache_folder_data_are_prepared_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = load_dataset(table(folder), 0, folder)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert_equal(load_dataset(table(folder), 0, folder), prepared)


def test_the_cache_keeps_what_was_used_last(folder: Path) -> None:
    for seed in range(KEPT + 3):
        load_dataset(DataSection(source="xor", rows=20), seed)
        load_dataset(DataSection(source="xor", rows=20), 0)
    kept = files(folder)
    assert len(kept) == KEPT
    assert not load_dataset(DataSection(source="xor", rows=20), 0).notes
    assert files(folder) == kept  # the one that was used again and again is still there


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    cache.put(tmp_path, "entry", fails)
    assert not list(tmp_path.iterdir())


def test_a_study_that_the_kernel_trains_imports_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    code = f"""
import sys, hpsearch
from hpsearch.train import missing_kernel
few = ["search.trials=4", "train.epochs=2", "compare.repeats=1", "study.baselines=false"]
study = hpsearch.load_study("studies/xor.toml", few)
hpsearch.run(study, storage="sqlite:///{tmp_path}/a.db", confirm=False)
heavy = {{"torch", "sklearn", "scipy.stats", "matplotlib", "PIL"}} & set(sys.modules)
assert missing_kernel() or not heavy, heavy
"""
    root = Path(__file__).parents[1]
    load_dataset(DataSection(source="xor"), 0)
    for _ in range(2):  # the first one may have to prepare the data
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
        if not done.returncode:
            return
        code = code.replace("a.db", "b.db")
    pytest.fail(done.stderr)


def test_a_folder_of_parquet_files_is_prepared_anew_when_one_changes(folder: Path) -> None:
    parts = folder / "parts"
    parts.mkdir()
    frame = pd.DataFrame({"x": np.arange(60) / 4, "y": ["no", "yes"] * 30})
    frame.iloc[:30].to_parquet(parts / "a.parquet")
    frame.iloc[30:].to_parquet(parts / "b.parquet")
    data = DataSection(source="parts", target="y")
    first = load_dataset(data, 0, folder)
    assert_equal(load_dataset(data, 0, folder), first)
    frame.iloc[30:].assign(x=7.5).to_parquet(parts / "b.parquet")
    assert load_dataset(data, 0, folder).hash != first.hash
