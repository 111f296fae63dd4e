"""Damaged images, arrays and tables end in one line of complaint, or are read; never in a traceback."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image as PillowImage

from hpsearch.data.columns import Columns
from hpsearch.data.describe import describe
from hpsearch.data.features import read_features
from hpsearch.data.new_rows import Expected, Image, read_rows
from hpsearch.data.prepare import read_and_split
from hpsearch.data.raw import Form
from hpsearch.data.sources import kind_of
from hpsearch.errors import HpsearchError
from hpsearch.study.schema import DataSection
from tests.fuzzing import COUNT, mutants
from tests.pictures import noise, write_picture

X, Y = noise(0, 20, 4, 4), np.arange(20) % 2
IDX = b"\0\0\x08\x03" + struct.pack(">3I", 20, 4, 4) + X.tobytes()


def saved(save: Callable[..., None], **keys: Any) -> bytes:
    target = io.BytesIO()
    save(target, **keys)
    return target.getvalue()


def image(kind: str) -> bytes:
    tags = PillowImage.Exif()
    tags[0x0112] = 6
    return saved(PillowImage.fromarray(noise(7, 4, 4, 3)).save, format=kind, exif=tags.tobytes())


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        for number in range(20):
            packed.writestr(f"{'cd'[number % 2]}/{number}.png", image("png"))
    return target.getvalue()


WHOLE: dict[str, Callable[[], bytes]] = {
    "a.npz": lambda: saved(np.savez, x_train=X, y_train=Y, names=np.array(["a", "b"])),
    "packed.npz": lambda: saved(np.savez_compressed, x=X / 3, y=Y.astype(str)),
    "a.zip": archive,
    "idx/train-images-idx3-ubyte": lambda: IDX,
    "gz/train-images-idx3-ubyte": lambda: gzip.compress(IDX),
    "xz/train-images-idx3-ubyte.xz": lambda: lzma.compress(IDX),
    **{f"images/c/0.{kind}": lambda kind=kind: image(kind) for kind in ("png", "jpeg", "webp", "gif", "bmp")},
}


@pytest.mark.parametrize("name", WHOLE)
def test_whatever_is_damaged_ends_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tmp_path / name.split("/")[0]
    if "images-idx3" in name:
        tags = b"\0\0\x08\x01" + struct.pack(">I", 20) + Y.astype(np.uint8).tobytes()
        (path.parent / "train-labels-idx1-ubyte").write_bytes(tags)
    for number in range(10 if name.startswith("images") else 0):
        write_picture(tmp_path / "images" / "cd"[number % 2] / f"{number + 1}.png", noise(number, 4, 4))
    for place, mutant in enumerate((WHOLE[name](), *mutants(WHOLE[name](), COUNT, 0))):
        path.write_bytes(mutant)
        for read in (train_on, predict):
            if (complaint := complaint_of(read, source)) is not None:
                assert place
                assert complaint.isprintable()


TABLE = pd.DataFrame(
    {
        "x": np.arange(40) / 4,
        "price": [f"1.{n:03},50 €" for n in range(40)],
        "when": [f"{n % 28 + 1}.{n % 12 + 1}.2018" for n in range(40)],
        "colour": ["red", "blü", "NA", "-"] * 10,
        "y": ["no", "yes"] * 20,
    }
)


def text(separator: str = ",", **keys: Any) -> bytes:
    return TABLE.to_csv(index=False, sep=separator, **keys).encode()


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("t.csv", text())
    return target.getvalue()


ARFF = b"@relation t\n@attribute x numeric\n@attribute c {a,b}\n@attribute y {no,yes}\n@data\n" + b"".join(
    b"%d,%s,%s\n" % (n, b"ab"[n % 2 : n % 2 + 1], (b"no", b"yes")[n % 2]) for n in range(40)
)
TABLES: dict[str, Callable[[], bytes]] = {
    "comma.csv": text,
    "quoted.csv": lambda: text(quoting=1),
    "semicolon.csv": lambda: text(";"),
    "tab.tsv": lambda: text("\t"),
    "t.csv.gz": lambda: gzip.compress(text()),
    "t.csv.xz": lambda: lzma.compress(text()),
    "t.csv.bz2": lambda: bz2.compress(text()),
    "t.csv.zst": lambda: pa.compress(text(), "zstd", asbytes=True),
    "t.csv.zip": zipped,
    "t.jsonl": lambda: TABLE.to_json(orient="records", lines=True).encode(),
    "t.parquet": lambda: saved(TABLE.assign(when=pd.Timestamp(0)).set_index("x").to_parquet),
    "t.arff": lambda: ARFF,
}


@pytest.mark.parametrize("name", TABLES)
def test_whatever_table_is_damaged_ends_in_one_line(tmp_path: Path, name: str) -> None:
    path, section = tmp_path / name, DataSection.model_validate({"source": name, "target": "y"})
    made: list[Columns] = []

    def train(source: Path) -> None:
        found = read_and_split(section, 0, tmp_path, refuse)
        made.append(read_features(found.raw, found.columns, found.split.train).columns)

    def look(source: Path) -> None:
        describe(DataSection.model_validate({"source": name}), tmp_path)

    def new_rows(source: Path) -> None:
        read_rows(source, Expected(made[0], "y", ("no", "yes")))

    for place, mutant in enumerate((TABLES[name](), *mutants(TABLES[name](), COUNT, 1))):
        path.write_bytes(mutant)
        for read in (train, look, new_rows):
            complaint = complaint_of(read, path)
            assert complaint is None or (place and complaint.isprintable())


def complaint_of(read: Callable[[Path], None], source: Path) -> str | None:
    try:
        read(source)
    except HpsearchError as error:
        return str(error)
    return None


def train_on(path: Path) -> None:
    raw = kind_of(path).read(path, None, refuse)
    if raw.pictures is not None:
        raw.pictures.pixels(Form((4, 4), "grey"), refuse, lambda done, total: None)


def predict(path: Path) -> None:
    read_rows(path, Expected(Image(4, 4, (0.0,), (1.0,)), "label", ("0", "1")))


def refuse(key: str, text: str) -> HpsearchError:
    return HpsearchError(f"{key}: {text}")
