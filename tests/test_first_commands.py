"""The first things that people type, `run DATA`, `run NAME` and `init DATA`, and the command to type next."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpsearch
from hpsearch.data.glance import WHOLE_BYTES, glance, is_data_file
from hpsearch.errors import HpsearchError, UnknownStudyError
from hpsearch.running.shipped import shipped
from tests.pictures import class_folders, zip_folder
from tests.studies import url, write_study
from tests.whole_study import call

ROOT = Path(hpsearch.__file__).parents[1]
SHIPPED = ["breast-cancer", "dead-relus", "diabetes", "digits", "digits-pareto", "paws", "penguins", "xor"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(rows: int = 150, last: str = "species") -> pd.DataFrame:
    numbers = np.random.default_rng(0).normal(size=(rows, 4))
    return pd.DataFrame(numbers, columns=list("abcd")).assign(**{last: np.resize(["x", "y"], rows)})


def refused(*words: object) -> str:
    """The complaint about a command; nothing is stored."""
    with pytest.raises(HpsearchError) as caught:
        call(*words)
    assert caught.value.exit_code == 2
    assert not list(Path().glob("*.db"))
    return str(caught.value)


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.csv.gz", "table.parquet", "my table.txt"])
def test_run_of_a_table_says_what_it_is_and_offers_init(name: str) -> None:
    if name.endswith("parquet"):
        table().to_parquet(name)
    else:
        table().to_csv(name, index=False, sep="\t" if name.endswith("tsv") else ",")
    text = refused("run", name)
    assert f"{name} is a table: 150 rows, 5 columns" in text
    shown = f"'{name}'" if " " in name else name
    assert text.endswith(f"hpsearch init {shown} --target species")


@pytest.mark.parametrize("name", ["target", "Label", "class", "y"])
def test_a_column_that_is_called_so_is_the_likely_target(name: str) -> None:
    table(30, name)[[name, *"abcd"]].to_csv("t.csv", index=False)
    assert refused("run", "t.csv").endswith(f"--target {name}")
    assert refused("init", "t.csv").endswith(f'"{name}" is likely:  hpsearch init t.csv --target {name}')
    call("init", "t.csv", "--target", name)


def test_run_of_images_says_how_many_and_which_classes() -> None:
    class_folders(Path("pics/train"), {"cat": 3, "dog": 2})
    class_folders(Path("pics/test"), {"cat": 1, "dog": 1})
    zip_folder(Path("pics"), Path("pics.zip"))
    for name, kind in (("pics/", "folder"), ("pics.zip", ".zip")):
        text = refused("run", name)
        assert f"{name} is a {kind} of images: 7 images in 2 class folders (cat, dog)" in text
        assert text.endswith(f"hpsearch init {name}")
    assert "pics/train/cat/000.png is an image" in refused("run", "pics/train/cat/000.png")
    Path("none").mkdir()
    assert "none is a folder without images or tables; expected a study file" in refused("run", "none")
    np.savez("a.npz", x=np.zeros((3, 2)), y=np.zeros(3))
    assert "a.npz is an .npz file of arrays" in refused("run", "a.npz")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,a\n1,2\n"])
def test_data_that_cannot_be_read_are_what_their_name_says(content: bytes) -> None:
    Path("broken.csv").write_bytes(content)
    text = refused("run", "broken.csv")
    assert "broken.csv is a table by its name" in text
    assert text.endswith("hpsearch init broken.csv --target COLUMN")
    Path("broken.zip").write_bytes(b"PK\x03\x04")
    assert "broken.zip is a .zip that cannot be read" in refused("run", "broken.zip")


def test_of_a_large_table_the_header_alone_is_read() -> None:
    row = b",".join([b"0.123456789"] * 30) + b"\n"
    with Path("large.csv").open("wb") as file:
        file.write(b",".join(f"c{at}".encode() for at in range(30)) + b"\n")
        file.write(row * (3 * WHOLE_BYTES // len(row)))
    started = time.perf_counter()
    found = glance("large.csv")
    assert time.perf_counter() - started < 1
    assert found.what == "a table: 30 columns, 50.3 MB"
    assert found.target == "c29"


def test_a_study_file_may_have_another_ending() -> None:
    path = write_study(Path())
    text = path.read_text(encoding="utf-8")
    for name, start in (("a.txt", "# a comment\n\n"), ("b.data", ""), ("c", "")):
        Path(name).write_text(start + text, encoding="utf-8")
        assert not is_data_file(Path(name))
        call("run", name, "--dry-run")
    for start in ("a b c\n1 2 3\n", "[1, 2]\n", "# x\n1,2\n"):
        Path("t.txt").write_text(start, encoding="utf-8")
        assert is_data_file(Path("t.txt"))


def test_data_that_do_not_exist_are_no_template() -> None:
    table().to_csv("table.csv", index=False)
    assert 'tabel.csv: no such file; did you mean "table.csv"?' in refused("init", "tabel.csv")
    for name in ("nofile.csv", "photos.zip", "x.npz", "t.parquet", "t.csv.gz"):
        assert f"{name}: no such file" in refused("init", name)
        assert f"{name}: no such file" in refused("run", name)
    assert not list(Path().glob("*.toml"))
    call("init", "v1.2")
    assert Path("v1.2.toml").exists()


def test_a_built_in_source_is_no_study() -> None:
    assert refused("run", "iris").endswith("hpsearch init iris")


# -- studies that come with hpsearch -------------------------------------------------------------


def test_the_list_names_them_with_what_they_are_about() -> None:
    lines = call("init", "--list").stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert set(SHIPPED) <= set(names)
    assert not {"lecture", "cats-and-dogs", "fashion-mnist"} & set(names)  # need data of one's own
    assert all(line.split(maxsplit=1)[1][-1] in ".?" for line in lines)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("each", shipped(), ids=lambda each: each.name)
def test_each_of_them_is_a_study_that_finds_its_data(each: object) -> None:
    plan = call("run", each.name, "--dry-run")  # type: ignore[attr-defined]
    assert f"study    {each.name}, which comes with hpsearch" in plan.stderr  # type: ignore[attr-defined]


def test_a_name_is_a_stored_study_then_a_file_here_then_one_that_comes_with_hpsearch() -> None:
    small = ["--set", "search.trials=2", "--set", "train.epochs=1", "--no-confirm"]
    first = call("run", "xor", *small)
    assert "which comes with hpsearch" in first.stderr
    assert "resume" not in first.stderr
    again = call("run", "xor", "--no-confirm", "--set", "search.trials=2", "--set", "train.epochs=1")
    assert "comes with" not in again.stderr  # the stored one
    Path("studies").mkdir()
    write_study(Path("studies"), "paws")
    found = call("run", "paws", "--dry-run")
    assert "study    studies/paws.toml" in found.stderr
    write_study(Path(), "paws", source="wine")
    assert "study    paws.toml" in call("run", "paws", "--dry-run").stderr
    with pytest.raises(UnknownStudyError, match='did you mean "paws"'):
        call("run", "pawz")


def test_python_takes_the_same_names() -> None:
    result = hpsearch.run(
        hpsearch.load_study(next(each.path for each in shipped() if each.name == "xor"), ["search.trials=2"]),
        storage=url(Path("x.db")),
        confirm=False,
    )
    assert len(result.trials) == 2
    table().to_csv("table.csv", index=False)
    with pytest.raises(UnknownStudyError, match="150 rows, 5 columns"):
        hpsearch.run("table.csv", storage=url(Path("x.db")))


def test_the_wheel_holds_them_and_what_they_need(folder: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    inside = folder / "site/hpsearch/studies"
    assert sorted(path.stem for path in inside.glob("*.toml")) == SHIPPED
    for path in inside.glob("*.toml"):
        assert path.read_bytes() == (ROOT / "studies" / path.name).read_bytes()
        source = tomllib.loads(path.read_text(encoding="utf-8"))["data"]["source"]
        assert "/" not in source or (inside / source).is_file()
    code = "from hpsearch.running.shipped import shipped; print(*(each.path for each in shipped()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(folder / "site"), "PATH": ""},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(inside / f"{name}.toml") for name in SHIPPED]
