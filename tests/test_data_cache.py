"""Prepared data come from the cache, and only as long as nothing they were made from has changed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpsearch import cache
from hpsearch.data import Dataset, load_dataset
from hpsearch.data.load import KEPT
from hpsearch.study.schema import DataSection, SplitSection


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
study = hpsearch.load_study("studies/xor.toml", ["search.trials=4", "train.epochs=2"])
hpsearch.run(study, storage="sqlite:///{tmp_path}/a.db")
heavy = {{"torch", "sklearn", "scipy.stats", "matplotlib"}} & set(sys.modules)
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
