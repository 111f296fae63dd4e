"""Pictures that cannot be used get one clear message, and nothing of an archive is ever unpacked."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from hpsearch.data import load_dataset
from hpsearch.errors import HpsearchError, StudyFileError
from hpsearch.study.file import load_study
from hpsearch.study.schema import DataSection, SplitSection
from tests.pictures import class_folders, noise, write_picture, zip_folder
from tests.studies import hpsearch, url, write_study


def message(path: Path, **keys: Any) -> str:
    with pytest.raises(HpsearchError) as caught:
        load_dataset(DataSection(source=path.name, **keys), 0, path.parent)
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in text
    return text


def assert_says(text: str, *expected: str) -> None:
    assert all(part in text for part in expected), text


def files(folder: Path, names: list[str]) -> Path:
    """A picture of its own under each name."""
    for number, name in enumerate(names):
        write_picture(folder / name, noise(number, 4, 4, 3))
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b.png"], ("expected CLASS/IMAGE", '2 of 2 images elsewhere: "a.png", "b.png"')),
        (["cat/1.png", "dog/1.png", "9.png"], ('1 of 3 images elsewhere: "9.png"',)),
        (["cat/1.png", "cat/2.png"], ('at least two class folders with images; found "cat" alone',)),
        (["all/cat/1.png", "all/cat/2.png"], ('found "cat" alone',)),
        (["train/1.png", "test/2.png"], ('2 of 2 images elsewhere: "test/2.png", "train/1.png"',)),
        (["train/cat/1.png", "train/cat/2.png", "test/cat/3.png"], ('found "cat" alone',)),
        (["train/cat/1.png", "cat/2.png"], ('splits and classes side by side: "cat", "train"',)),
        (["training_set/cat/1.png", "test_set/cat/1.png"], ('found "cat" alone',)),
        (["one/cat/1.png", "two/cat/1.png"], ('elsewhere: "one/cat/1.png"', "SPLIT/CLASS")),
        (["train/cat/1.png", "more/cat/1.png"], ('side by side: "more", "train"', "move the folders")),
        (
            ["train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png"],
            ("2 of 4 images elsewhere", '"test" has no class folders: move it out', "predict it"),
        ),
        (["test/cat/1.png", "test/dog/1.png", *(f"test/dog/{n}.png" for n in range(9))], ("training set",)),
    ],
)
def test_folders_that_are_laid_out_otherwise(
    tmp_path: Path, names: list[str], expected: tuple[str, ...]
) -> None:
    folder = files(tmp_path / "a", names)
    for path in (folder, zip_folder(folder, tmp_path / "a.zip")):
        assert_says(message(path), path.name, *expected)


def test_folders_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert_says(message(tmp_path / "none"), "expected images (.bmp, .gif", "found no file")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "t.txt").write_text("x")
    assert_says(message(tmp_path / "texts"), 'none among 1 file, such as "t.txt"')


def test_an_archive_in_an_archive_is_named(tmp_path: Path) -> None:
    inner = members(tmp_path / "inner.zip", pngs())
    path = members(tmp_path / "a.zip", {"data/inner.zip": inner.read_bytes(), "README": b"x"})
    assert_says(message(path), 'the archive "data/inner.zip" inside, which is not opened; unpack it')


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = files(tmp_path / "a", [f"{'cd'[n % 2]}/{n}.png" for n in range(20)])
    (folder / "c").rename(os.fsdecode(bytes(folder) + b"/caf\xe9"))
    text = message(folder)
    assert text.encode()
    assert_says(text, "expected names of classes in UTF-8", '"caf\ufffd"', "rename the folder")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / os.fsdecode(b"\xff.txt")).write_text("x")
    assert_says(message(tmp_path / "b"), 'such as "\ufffd.txt"')


def test_sources_that_never_end(tmp_path: Path) -> None:
    for name in ("t.csv", "a.png", "a.npz", "a.zip", IMAGES):
        os.mkfifo(tmp_path / name)
        assert_says(message(tmp_path / name), "expected a file or a folder; found a pipe")
    assert_says(message(Path("/dev/zero")), "/dev/zero: expected a file or a folder; found a device")


def test_an_archive_that_unpacks_to_far_more_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"{'cd'[number % 2]}/{number}.bmp", bytes(1 << 24))
    assert_says(message(path), "84 MB packed into", "at most 200 times the packed size is read")


def test_a_rare_class_and_one_that_is_not_trained(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"cat": 20, "dog": 1})
    assert_says(message(tmp_path / "a"), 'class "dog" of the folders has 1 image; expected at least 3')
    class_folders(tmp_path / "b" / "train", {"cat": 20, "dog": 20})
    class_folders(tmp_path / "b" / "valid", {"cat": 20, "owl": 20})
    assert_says(message(tmp_path / "b"), '"owl" of the folders is not in the training set')
    class_folders(tmp_path / "c", {"cat": 4, "dog": 4})
    assert_says(message(tmp_path / "c"), "at least 10 images with a target; found 8")


def bomb() -> bytes:
    """A PNG of a few bytes that announces 40,000 × 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_all_broken_pictures_are_named_at_once(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "a"
    written = class_folders(folder, {"cat": 20, "dog": 20}, (9, 9, 3), ".jpg")
    contents = {
        "cat/000.jpg": (b"", "empty"),
        "cat/001.jpg": (b"GIF or not?", "not an image"),
        "cat/002.jpg": ((folder / "cat/002.jpg").read_bytes()[:-70], "truncated"),
        "dog/000.jpg": (bomb(), "announces"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    path = folder if form == "folder" else zip_folder(folder, tmp_path / "a.zip")
    text = message(path)
    assert_says(text, f"{path}: 4 of {len(written)} images cannot be read", "mend or remove them")
    for name, (_, why) in contents.items():
        (reason,) = [part for part in text.split('"') if part.startswith(" (") and name in text][:1]
        assert reason
        assert why in text.split(f'"{name}"')[1].split(")")[0]
    for name in sorted(written)[3:20]:
        (folder / name).write_bytes(b"x")
    path = folder if form == "folder" else zip_folder(folder, tmp_path / "a.zip")
    assert_says(message(path), "21 of 40 images", "and 9 more; ")


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"cat": 10, "dog": 10})
    os.mkfifo(tmp_path / "a" / "cat" / "pipe.png")
    (tmp_path / "a" / "dog" / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "dog" / "above").symlink_to(tmp_path / "a")
    text = message(tmp_path / "a")
    assert_says(text, "images elsewhere", '"dog/above/cat/000.png"')
    (tmp_path / "a" / "dog" / "above").unlink()
    text = message(tmp_path / "a")
    assert_says(text, "2 of 22 images", '"cat/pipe.png" (not a file)', '"dog/link.png" (No such file')


def test_pictures_that_differ_and_no_key_says_what_to_do(tmp_path: Path) -> None:
    class_folders(tmp_path / "sizes", {"cat": 10}, (4, 6, 3))
    class_folders(tmp_path / "sizes", {"dog": 10}, (5, 5, 3))
    assert_says(
        message(tmp_path / "sizes"),
        "data.image_size: is missing; the images of",
        'have 2 sizes: 4 × 6 (such as "cat/000.png"), 5 × 5 (such as "dog/000.png")',
        "image_size = [32, 32]",
    )
    class_folders(tmp_path / "kinds", {"cat": 10}, (4, 4, 3))
    class_folders(tmp_path / "kinds", {"dog": 11}, (4, 4))
    assert_says(
        message(tmp_path / "kinds"),
        "data.colour: is missing",
        '10 in colour, such as "cat/000.png" and 11 in grey, such as "dog/000.png"',
        'set it to "rgb" or "grey"',
    )


def test_pictures_that_are_all_the_same(tmp_path: Path) -> None:
    for number in range(20):
        write_picture(tmp_path / "a" / "cd"[number % 2] / f"{number}.png", noise(0, 4, 4, 3))
    assert_says(message(tmp_path / "a"), "all images of the training set are the same")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"target": "cat"}, ("data.target: is for tables",)),
        ({"split": SplitSection(column="part")}, ("data.split.column: is for tables; a holds images",)),
        ({"rows": 20}, ("data.rows: is for xor, spiral, paws only",)),
        ({"n_images": 25}, ("data.n_images: 25 are more than a has: 24",)),
        (
            {"task": "binary"},
            ("data.task", "two classes; found 3 in the folders of a", '"cat", "dog", "owl"'),
        ),
        ({"task": "regression"}, ('"regression" needs numbers', '"multiclass"')),
        ({"image_size": [60_000, 60_000]}, ("24 images of 60,000 × 60,000 pixels need 1,296.0 GB",)),
    ],
)
def test_keys_that_do_not_fit(tmp_path: Path, keys: dict[str, Any], expected: tuple[str, ...]) -> None:
    class_folders(tmp_path / "a", {"cat": 8, "dog": 8, "owl": 8})
    assert_says(message(tmp_path / "a", **keys), *expected)


@pytest.mark.parametrize("key", [{"image_size": [4, 4]}, {"n_images": 20}, {"colour": "grey"}])
def test_keys_for_pictures_with_a_table(tmp_path: Path, key: dict[str, Any]) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "1,a\n2,b\n" * 10)
    np.savez(tmp_path / "t.npz", x=noise(0, 20, 3), y=np.arange(20) % 2)
    for path, more in (
        (tmp_path / "t.csv", {"target": "y"}),
        (tmp_path / "t.npz", {}),
        (tmp_path / "iris", {}),
    ):
        text = message(path, **key, **more)
        assert_says(text, f"data.{next(iter(key))}: is for images; {path.name} is a table")


@pytest.mark.parametrize(
    "written", ["[32]", "[32, 32, 3]", "32", "[0, 8]", "[8.0, 8]", "[true, 8]", '"32x32"', "[-1, 8]"]
)
def test_a_size_that_is_none(tmp_path: Path, written: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'[data]\nsource = "a"\nimage_size = {written}\n')
    with pytest.raises(StudyFileError) as caught:
        load_study(path)
    assert_says(
        str(caught.value), "s.toml:3:1: data.image_size: expected height and width", "[32, 32]; found"
    )


def members(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def png(seed: int) -> bytes:
    target = io.BytesIO()
    PillowImage.fromarray(noise(seed, 4, 4, 3)).save(target, format="PNG")
    return target.getvalue()


def pngs(count: int = 20) -> dict[str, bytes]:
    return {f"{'cd'[n % 2]}/{n}.png": png(n) for n in range(count)}


@pytest.mark.parametrize("name", ["../evil.png", "c/../../evil.png", "/evil.png", "c/.././../evil.png"])
def test_names_that_lead_out_of_an_archive(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = members(inner / "a.zip", pngs() | {name: png(99)})
    assert_says(
        message(path), "expected names of files inside the archive", f'"{name}"', "nothing was unpacked"
    )
    assert sorted(tmp_path.rglob("*")) == [inner, path]


def test_archives_that_are_damaged(tmp_path: Path) -> None:
    whole = members(tmp_path / "a.zip", pngs()).read_bytes()
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.zip").write_bytes(b"")
    for name in ("text", "cut", "empty"):
        assert_says(message(tmp_path / f"{name}.zip"), f"{name}.zip: not a whole zip archive", "again")
    place = whole.index(png(4)) + 60
    (tmp_path / "flipped.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert_says(message(tmp_path / "flipped.zip"), "1 of 20 images", '"c/4.png" (damaged in the archive')
    locked = bytearray(whole)
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    assert_says(message(tmp_path / "locked.zip"), '"c/0.png" (encrypted)')
    text = members(tmp_path / "table.zip", {"t.doc": b"x,y\n1,2\n"})
    assert_says(message(text), 'none among 1 file, such as "t.doc"')


def test_a_member_that_unpacks_to_more_than_a_picture_has(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(members(path, pngs()), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/zeros.png", bytes((1 << 28) + 1))
    assert path.stat().st_size < 1 << 20
    assert_says(message(path), '"c/zeros.png" (268 MB, more than an image has)')


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
HEAD = b"\0\0\x08\x03" + struct.pack(">3I", 20, 2, 2)
PIXELS = noise(0, 80).tobytes()
TAGS = b"\0\0\x08\x01" + struct.pack(">I", 20) + bytes([0, 1] * 10)


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (HEAD + PIXELS, None, (IMAGES, "expected its labels beside it", f'"{LABELS}"')),
        (b"\0\0\x0d\x03" + HEAD[4:] + PIXELS, TAGS, (IMAGES, "00 00 08 03; found 00 00 0d 03")),
        (TAGS, TAGS, (IMAGES, "order 3", "found 00 00 08 01")),
        (HEAD + PIXELS, HEAD + PIXELS, (LABELS, "order 1", "found 00 00 08 03")),
        (b"", TAGS, (IMAGES, "found nothing")),
        (HEAD[:9], TAGS, (IMAGES, "after its head")),
        (HEAD + PIXELS[:-1], TAGS, (IMAGES, "20 × 2 × 2 = 80 bytes after its head; found 79")),
        (HEAD + PIXELS + b"x", TAGS, (IMAGES, "80 bytes after its head; found more")),
        (HEAD + PIXELS, TAGS[:-2], (LABELS, "20 = 20 bytes after its head; found 18")),
        (
            HEAD + PIXELS,
            TAGS[:4] + struct.pack(">I", 19) + TAGS[9:],
            ("a label for each of the 20 images", "found 19", "do not belong together"),
        ),
        (HEAD + PIXELS, TAGS[:8] + bytes(20), ("at least two values in the labels; found only 0",)),
        (b"\0\0\x08\x03" + b"\xff" * 12, TAGS, (IMAGES, "GB of memory")),
    ],
)
def test_idx_files_that_cannot_be_used(
    tmp_path: Path, images: bytes, labels: bytes | None, expected: tuple[str, ...]
) -> None:
    for end, pack in (("", bytes), (".gz", gzip.compress)):
        folder = tmp_path / f"idx{end}"
        folder.mkdir()
        (folder / f"{IMAGES}{end}").write_bytes(pack(images))
        if labels is not None:
            (folder / f"{LABELS}{end}").write_bytes(pack(labels))
        assert_says(message(folder), *(part for part in expected if end == "" or part != f'"{LABELS}"'))


def test_idx_files_that_are_cut_off_or_ambiguous(tmp_path: Path) -> None:
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(HEAD + PIXELS)[:-9])
    (tmp_path / LABELS).write_bytes(TAGS)
    assert_says(message(tmp_path), f"{IMAGES}.gz: cannot be read whole", "again")
    (tmp_path / f"letters-{IMAGES}").write_bytes(HEAD + PIXELS)
    assert_says(
        message(tmp_path), "expected one file of images", '"letters-train-images…"', "give the path of one"
    )


X, Y = noise(0, 20, 4, 4), np.arange(20) % 2


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"a": X, "b": Y}, ("expected the arrays x and y, or x_train",)),
        ({"x": X}, ("found x without its labels",)),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, ('found "x", "y", "x_train", "y_train"',)),
        ({"x": X, "y": Y, "images": X}, ('found "x", "y", "images"; rename them',)),
        ({"train_images": X, "train_labels": Y[:-1]}, ("rows in train_images as in train_labels",)),
        ({"pixels": X, "kinds": Y}, ("train_images and train_labels", 'found "pixels", "kinds"; rename')),
        ({"x": X, "y": Y[:-1]}, ("as many rows in x as in y; found 20 and 19",)),
        ({"x": X[0, 0], "y": Y[:4]}, ("x: expected numbers of the shape", "found uint8 of the shape (4,)")),
        ({"x": X[..., None, None], "y": Y}, ("found uint8 of the shape (20, 4, 4, 1, 1)",)),
        ({"x": noise(0, 20, 4, 4, 4), "y": Y}, ("1 or 3 channels]; found uint8 of the shape (20, 4, 4, 4)",)),
        ({"x": noise(0, 20, 3, 8, 8), "y": Y}, ("expected channels last; found the shape (20, 3, 8, 8)",)),
        ({"x": X, "y": np.eye(20)}, ("y: expected [n] numbers or words", "one-hot")),
        ({"x": np.full((20, 4, 4), np.nan), "y": Y}, ("expected finite numbers", "found nan to nan")),
        ({"x": X * 1e300, "y": Y}, ("finite numbers up to 1e+30 as pixels; found 0 to",)),
        ({"x": X.astype("M8[s]"), "y": Y}, ("x: expected numbers", "datetime64")),
        ({"x": X, "y": Y.astype("M8[s]")}, ("y: expected [n] numbers or words", "datetime64")),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y},
            ("one shape in all splits; found (3, 4)",),
        ),
        ({"x_test": X, "y_test": Y}, ("training set has no image",)),
    ],
)
def test_npz_arrays_that_cannot_be_used(
    tmp_path: Path, arrays: dict[str, Any], expected: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert_says(message(tmp_path / "a.npz"), "a.npz", *expected)


def test_npz_heads_that_announce_what_is_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        x, y = archive.read("x.npy"), archive.read("y.npy")
    for found, put, expected in (
        (b"(20, 4, 4), }", b"(9999999999,)", "the header of x cannot be read"),
        (b"(20, 4, 4), }", b"(9999999,), }", "x announces 9,999,999 bytes and has 320"),
        (b"'|u1'", b"'\x1b[1'", "the header of x cannot be read"),
        (b"'|u1'", b"(((((", "the header of x cannot be read"),
    ):
        assert x.count(found) == 1
        path = members(tmp_path / "b.npz", {"x.npy": x.replace(found, put.ljust(len(found))), "y.npy": y})
        text = message(path)
        assert_says(text, "b.npz: not a whole .npz archive of arrays (", expected)
        assert text.isprintable()


class Opened:
    """What runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_objects_in_an_npz_are_never_unpickled(tmp_path: Path) -> None:
    objects = np.array([Opened(tmp_path / "touched")] * 20, dtype=object)
    np.savez(tmp_path / "a.npz", x=X, y=objects)
    assert_says(message(tmp_path / "a.npz"), "found Python objects in y, which are not read")
    assert not (tmp_path / "touched").exists()


def test_npz_files_that_are_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-40])
    (tmp_path / "text.npz").write_text("x")
    flipped = bytearray(whole)
    flipped[whole.index(X.tobytes()) + 5] ^= 1
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name in ("cut", "text", "flipped"):
        assert_says(message(tmp_path / f"{name}.npz"), f"{name}.npz: not a whole .npz archive")


def test_the_command_line_trains_on_pictures_and_refuses_broken_ones(tmp_path: Path) -> None:
    class_folders(tmp_path / "pets", {"cat": 20, "dog": 20})
    path = write_study(tmp_path, source="pets", trials=4)
    database = tmp_path / "a.db"
    done = hpsearch("run", path, "--storage", url(database))
    assert done.returncode == 0, done.stderr
    assert "40 images of 4 × 6 × 3 → 2 classes (binary)" in done.stderr
    before = database.read_bytes()
    (tmp_path / "pets" / "cat" / "003.png").write_bytes(b"broken")
    done = hpsearch("run", path, "--storage", url(database))
    assert done.returncode == 2
    assert '1 of 40 images cannot be read: "cat/003.png" (not an image)' in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert database.read_bytes() == before


def test_paths_where_nothing_is(tmp_path: Path) -> None:
    members(tmp_path / "pets.zip", pngs())
    assert_says(message(tmp_path / "pet.zip"), 'pet.zip: no such file; did you mean "pets.zip"?')
    assert_says(message(tmp_path / IMAGES), "no such file")
    assert_says(
        message(tmp_path / "pets"), 'unknown built-in source "pets"', f"no folder {tmp_path / 'pets'}"
    )
