"""Pictures become the pixels that Pillow and NumPy find, each with its own label, whatever they lie in."""

from __future__ import annotations

import gzip
import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from hpsearch.data import Dataset, load_dataset
from hpsearch.errors import DataError
from hpsearch.records import Task
from hpsearch.study.schema import DataSection, SplitSection
from tests.pictures import Pixels, class_folders, noise, write_picture, zip_folder

SHARED = Path(__file__).parents[2] / "shared" / "data"
PARTS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def load(path: Path, seed: int = 0, **keys: Any) -> Dataset:
    return load_dataset(DataSection(source=path.name, **keys), seed, path.parent)


def rows(dataset: Dataset, part: str) -> dict[bytes, str]:
    """The class of each picture of a part, by its bytes."""
    own = getattr(dataset, part)
    return {
        pixels.tobytes(): dataset.classes[int(label)]
        for pixels, label in zip(dataset.pictures(own.x), own.y, strict=True)
    }


def labelled(written: dict[str, Pixels]) -> dict[bytes, str]:
    return {pixels.tobytes(): name.split("/")[-2] for name, pixels in written.items()}


def all_rows(dataset: Dataset) -> dict[bytes, str]:
    return rows(dataset, "train") | rows(dataset, "valid") | rows(dataset, "test")


@pytest.mark.parametrize(
    ("suffix", "shape"),
    [
        (".png", (4, 6, 3)),
        (".PNG", (5, 3)),
        (".bmp", (4, 6, 3)),
        (".bmp", (5, 3)),
        (".webp", (4, 6, 3)),
        (".tif", (4, 6, 3)),
        (".tiff", (5, 3)),
    ],
)
def test_every_picture_has_its_own_pixels_and_label(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    written = class_folders(tmp_path / "animals", {"cat": 12, "dog": 11, "owl": 10}, shape, suffix)
    dataset = load(tmp_path / "animals")
    assert dataset.task is Task.MULTICLASS
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.image is not None
    assert (dataset.image.height, dataset.image.width) == shape[:2]
    assert len(dataset.features) == np.prod(shape)
    assert all_rows(dataset) == labelled(written)
    assert dataset.notes == ()


def test_channels_are_standardised_by_the_training_part_alone(tmp_path: Path) -> None:
    class_folders(tmp_path / "a" / "train", {"cat": 20, "dog": 20})
    class_folders(tmp_path / "a" / "valid", {"cat": 5, "dog": 5}, seed=7)
    dataset = load(tmp_path / "a")
    files = sorted((tmp_path / "a" / "train").rglob("*.png"))
    pixels = np.stack([np.asarray(PillowImage.open(file)) for file in files]).astype(np.float64)
    mean, std = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    assert dataset.image is not None
    np.testing.assert_allclose(dataset.image.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(dataset.image.std, std, rtol=1e-12)
    np.testing.assert_allclose(dataset.train.x, ((pixels - mean) / std).reshape(40, -1), rtol=1e-5, atol=1e-6)
    assert dataset.features[:4] == ("0,0,red", "0,0,green", "0,0,blue", "0,1,red")
    assert dataset.train.x.dtype == np.float32
    assert (len(dataset.valid), len(dataset.test)) == (10, 0)


@pytest.mark.parametrize("wrap", ["", "Archive/", "outer/inner/"])
def test_an_archive_is_the_same_as_its_folder(tmp_path: Path, wrap: str) -> None:
    class_folders(tmp_path / "animals", {"cat": 12, "dog": 11})
    (tmp_path / "animals" / ".DS_Store").write_bytes(b"x")
    archive = zip_folder(tmp_path / "animals", tmp_path / "animals.zip", wrap)
    folder, packed = load(tmp_path / "animals"), load(archive)
    assert folder.hash == packed.hash
    for part in PARTS:
        assert getattr(folder, part).x.tobytes() == getattr(packed, part).x.tobytes()
        assert getattr(folder, part).y.tobytes() == getattr(packed, part).y.tobytes()
    assert folder.notes == packed.notes == ()


@pytest.mark.parametrize(
    "words",
    [
        ("train", "valid", "test"),
        ("Training", "validation", "TEST"),
        ("training_set", "val_set", "test_set"),
        ("Train", "Val", "Testing"),
        ("train-data", "dev", "test-data"),
        ("trainset", "development", "testset"),
        ("Training Set", "Validation Set", "Test Set"),
        ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),
        ("training_set/training_set", "valid", "test_set/test_set"),
        ("train/images", "valid/images", "test/images"),
    ],
)
def test_parts_that_are_given_stay_as_they_are(tmp_path: Path, words: tuple[str, str, str]) -> None:
    written = {
        part: class_folders(tmp_path / "a" / "inner" / word, {"x": count, "y": 4}, seed=10 * place)
        for place, (part, word, count) in enumerate(zip(PARTS, words, (9, 5, 3), strict=True))
    }
    for path in (tmp_path / "a", zip_folder(tmp_path / "a", tmp_path / "a.zip")):
        dataset = load(path, split=SplitSection(valid=0.4, test=0.3))
        for part in PARTS:
            assert rows(dataset, part) == labelled(written[part])


@pytest.mark.parametrize("wrap", ["", "archive/", "test_data/"])
def test_splits_below_further_folders(tmp_path: Path, wrap: str) -> None:
    written = {
        part: class_folders(tmp_path / "a" / f"{wrap}{word}", {"x": 8, "y": 4}, seed=10 * place)
        for place, (part, word) in enumerate(zip(PARTS, ("Train", "val", "test_set"), strict=True))
    }
    for path in (tmp_path / "a", zip_folder(tmp_path / "a", tmp_path / "a.zip", "outer/")):
        dataset = load(path)
        assert all(rows(dataset, part) == labelled(written[part]) for part in PARTS)


def test_archives_that_were_packed_on_windows(tmp_path: Path) -> None:
    written = class_folders(tmp_path / "a", {"cat": 12, "dog": 11})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("data\\", b"")
        for name in written:
            archive.writestr(f"data\\{name}".replace("/", "\\"), (tmp_path / "a" / name).read_bytes())
    dataset = load(tmp_path / "a.zip")
    assert all_rows(dataset) == labelled(written)
    assert dataset.hash == load(tmp_path / "a").hash


def test_classes_are_the_same_however_their_accents_are_written(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    class_folders(tmp_path / "a" / "train", {composed: 20, "the": 20})
    class_folders(tmp_path / "a" / "test", {apart: 5, "the": 5}, seed=9)
    dataset = load(tmp_path / "a")
    assert dataset.classes == (composed, "the")
    assert sorted(rows(dataset, "test").values()) == [composed] * 5 + ["the"] * 5


def test_a_class_that_is_called_like_a_split(tmp_path: Path) -> None:
    written = class_folders(tmp_path / "a", {"bus": 8, "car": 8, "train": 8})
    dataset = load(tmp_path / "a")
    assert all_rows(dataset) == labelled(written)
    assert dataset.notes == ('"train" taken for a class, like "bus", "car"',)


def test_without_a_validation_part_it_is_taken_from_training_alone(tmp_path: Path) -> None:
    train = class_folders(tmp_path / "a" / "train", {"x": 30, "y": 10})
    test = class_folders(tmp_path / "a" / "test", {"x": 4, "y": 4}, seed=50)
    dataset = load(tmp_path / "a", split=SplitSection(valid=0.2, test=0.4))
    assert rows(dataset, "test") == labelled(test)
    assert rows(dataset, "train") | rows(dataset, "valid") == labelled(train)
    assert sorted(rows(dataset, "valid").values()) == ["x"] * 6 + ["y"] * 2


def test_a_training_part_alone_is_divided_into_three(tmp_path: Path) -> None:
    written = class_folders(tmp_path / "a" / "train", {"x": 20, "y": 20})
    dataset = load(tmp_path / "a")
    assert [len(getattr(dataset, part)) for part in PARTS] == [24, 8, 8]
    assert all_rows(dataset) == labelled(written)


def test_so_many_images_of_each_class_in_proportion(tmp_path: Path) -> None:
    written = labelled(class_folders(tmp_path / "a", {"x": 60, "y": 30, "z": 10}))
    dataset, again, other = (load(tmp_path / "a", seed=seed, n_images=50) for seed in (0, 0, 1))
    chosen = all_rows(dataset)
    assert chosen.items() <= written.items()
    assert sorted(chosen.values()) == ["x"] * 30 + ["y"] * 15 + ["z"] * 5
    assert all_rows(again) == chosen
    assert all_rows(other) != chosen
    assert dataset.hash == other.hash


def test_so_many_images_are_chosen_from_training_and_the_other_parts_stay_whole(tmp_path: Path) -> None:
    train = labelled(class_folders(tmp_path / "a" / "train", {"x": 30, "y": 30}))
    test = labelled(class_folders(tmp_path / "a" / "test", {"x": 7, "y": 7}, seed=50))
    dataset = load(tmp_path / "a", n_images=20)
    assert rows(dataset, "test") == test
    chosen = rows(dataset, "train") | rows(dataset, "valid")
    assert chosen.items() <= train.items()
    assert (len(dataset.train), len(dataset.valid)) == (16, 4)


def test_pictures_of_several_sizes_are_resized_like_pillow_does(tmp_path: Path) -> None:
    expected = {}
    for number in range(12):
        pixels = noise(number, 5 + number, 9, 3)
        write_picture(tmp_path / "a" / "cd"[number % 2] / f"{number}.png", pixels)
        resized = PillowImage.fromarray(pixels).resize((6, 4), PillowImage.Resampling.BILINEAR)
        expected[np.asarray(resized).tobytes()] = "cd"[number % 2]
    assert all_rows(load(tmp_path / "a", image_size=[4, 6])) == expected


def test_a_large_photograph_is_about_what_pillow_makes_of_all_its_pixels(tmp_path: Path) -> None:
    coarse = [noise(number, 4, 5, 3) for number in range(10)]
    for number, pixels in enumerate(coarse):
        photograph = PillowImage.fromarray(pixels).resize((500, 400), PillowImage.Resampling.BICUBIC)
        path = tmp_path / "a" / "cd"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph.save(path, quality=95)
    dataset = load(tmp_path / "a", image_size=[16, 20], split=SplitSection(valid=0.2, test=0.0))
    found = np.concatenate([dataset.pictures(dataset.train.x), dataset.pictures(dataset.valid.x)]).astype(int)
    for pixels in coarse:
        full = PillowImage.fromarray(pixels).resize((500, 400), PillowImage.Resampling.BICUBIC)
        reference = np.asarray(full.resize((20, 16), PillowImage.Resampling.BILINEAR)).astype(int)
        assert np.abs(found - reference).mean(axis=(1, 2, 3)).min() < 3


def test_colour_and_grey_can_be_turned_into_each_other(tmp_path: Path) -> None:
    written = class_folders(tmp_path / "a", {"c": 6})
    grey = class_folders(tmp_path / "a", {"d": 6}, (4, 6), seed=3)
    as_grey = load(tmp_path / "a", colour="grey")
    assert as_grey.image is not None
    assert as_grey.image.channels == 1
    expected = {np.asarray(PillowImage.fromarray(p).convert("L")).tobytes(): "c" for p in written.values()}
    assert all_rows(as_grey) == expected | labelled(grey)
    in_colour = load(tmp_path / "a", colour="rgb")
    tripled = {np.repeat(p[..., None], 3, axis=2).tobytes(): "d" for p in grey.values()}
    assert all_rows(in_colour) == labelled(written) | tripled


def save(folder: Path, images: list[PillowImage.Image], suffix: str, **options: Any) -> None:
    for number, image in enumerate(images):
        path = folder / "cd"[number % 2] / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    images = []
    for number in range(10):
        pixels = noise(number, 4, 4, 4)
        pixels[..., 3] = 255
        pixels[0, :, 3] = 0
        images.append(PillowImage.fromarray(pixels))
    save(tmp_path / "a", images, ".png")
    dataset = load(tmp_path / "a")
    pictures = dataset.pictures(dataset.train.x)
    assert (pictures[:, 0] == 255).all()
    assert pictures.shape[3] == 3
    known = {np.asarray(image.convert("RGB"))[1:].tobytes() for image in images}
    assert {picture[1:].tobytes() for picture in pictures} <= known


def test_palettes_sixteen_bits_and_animations(tmp_path: Path) -> None:
    deep = [PillowImage.fromarray(noise(n, 4, 4).astype(np.uint16) * 257) for n in range(10)]
    save(tmp_path / "deep", deep, ".png")
    assert set(all_rows(load(tmp_path / "deep"))) == {np.asarray(image).tobytes() for image in deep}
    drawn = [PillowImage.fromarray(noise(n, 4, 4, 3)).quantize(8) for n in range(20)]
    first = drawn[:10]
    save(tmp_path / "gif", first, ".gif", save_all=True, append_images=drawn[10:12])
    assert set(all_rows(load(tmp_path / "gif"))) == {
        np.asarray(image.convert("RGB")).tobytes() for image in first
    }


def test_all_grey_values_of_sixteen_bits_are_kept(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1024, (20, 8, 8)).astype(np.uint16)
    save(tmp_path / "a", [PillowImage.fromarray(each) for each in values], ".png")
    dataset = load(tmp_path / "a")
    assert dataset.image is not None
    assert set(all_rows(dataset)) == {each.tobytes() for each in values}
    own = dataset.pictures(dataset.train.x)
    image = dataset.image
    assert (image.dtype, image.low, image.high) == ("uint16", own.min(), own.max())
    assert dataset.images == {
        "count": 20, "shape": [8, 8, 1], "levels": len(np.unique(values)), "left_out": 0,
    }  # fmt: skip
    assert len(np.unique(dataset.train.x)) == len(np.unique(own))
    assert (dataset.displayed(dataset.train.x).min(), dataset.displayed(dataset.train.x).max()) == (0, 255)
    assert load(tmp_path / "a").train.x.tobytes() == dataset.train.x.tobytes()
    resized = load(tmp_path / "a", image_size=[4, 4], colour="rgb")
    expected = [
        np.rint(
            PillowImage.fromarray(each.astype(np.float32)).resize((4, 4), PillowImage.Resampling.BILINEAR)
        )
        for each in values
    ]
    tripled = {np.repeat(each[..., None], 3, axis=2).astype(np.uint16).tobytes() for each in expected}
    assert set(all_rows(resized)) == tripled


def test_files_of_eight_and_sixteen_bits_are_mixed_with_a_word(tmp_path: Path) -> None:
    shallow, deep = noise(0, 4, 4), noise(1, 4, 4).astype(np.uint16) * 256
    images = [PillowImage.fromarray(shallow + n if n % 3 else deep + n) for n in range(12)]
    save(tmp_path / "a", images, ".png")
    for keys in ({}, {"image_size": [4, 4], "colour": "grey"}):
        dataset = load(tmp_path / "a", **keys)
        assert dataset.notes == ("8 of 12 images have 8 bits, scaled to 16",)
        expected = {
            ((shallow + n).astype(np.uint16) * 257 if n % 3 else (deep + n).astype(np.uint16)).tobytes()
            for n in range(12)
        }
        assert set(all_rows(dataset)) == expected


def test_colours_of_sixteen_bits_are_reduced_with_a_word(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    written = {}
    for number in range(10):
        pixels = noise(number, 4, 4, 3)
        lines = b"".join(b"\0" + (line.astype(">u2") * 257).astype(">u2").tobytes() for line in pixels)
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
        path = tmp_path / "a" / "cd"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        body = head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        written[f"{path.parent.name}/{number}"] = pixels
    dataset = load(tmp_path / "a")
    assert all_rows(dataset) == labelled(written)
    assert dataset.notes == ("10 of 10 images have 16 bits a colour, reduced to 8",)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_in_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    tags = PillowImage.Exif()
    tags[0x0112] = orientation
    lossless = {".webp": {"lossless": True}, ".jpg": {"quality": 95, "subsampling": 0}}.get(suffix, {})
    images = [
        PillowImage.fromarray(np.kron(noise(n, 2, 3, 1), np.ones((4, 4, 1))).astype(np.uint8)[..., 0])
        for n in range(10)
    ]
    colour = [image.convert("RGB") for image in images]
    save(tmp_path / "a", colour, suffix, exif=tags.tobytes(), **lossless)
    dataset = load(tmp_path / "a")
    upright = []
    for image in colour:
        image.getexif()[0x0112] = orientation
        upright.append(np.asarray(ImageOps.exif_transpose(image)).astype(int))
    for picture in dataset.pictures(dataset.train.x).astype(int):
        assert picture.shape == upright[0].shape
        assert min(np.abs(picture - each).max() for each in upright) <= 3 * (suffix == ".jpg")


def test_tiff_keeps_16_bits_and_refuses_other_numbers(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 60_000, (20, 5, 6)).astype(np.uint16)
    save(tmp_path / "deep", [PillowImage.fromarray(each) for each in drawn], ".tif")
    dataset = load(tmp_path / "deep")
    read = np.concatenate([dataset.pictures(getattr(dataset, part).x)[..., 0] for part in PARTS])
    assert {each.tobytes() for each in read} == {each.tobytes() for each in drawn}
    save(tmp_path / "shares", [PillowImage.fromarray(each / np.float32(60_000)) for each in drawn], ".tif")
    with pytest.raises(DataError, match="numbers that are no pixels of 16 bits"):
        load(tmp_path / "shares")


def test_of_a_stack_the_first_image_is_read_with_a_note(tmp_path: Path) -> None:
    drawn = [PillowImage.fromarray(noise(n, 5, 3)) for n in range(11)]
    save(tmp_path / "a", drawn[:10], ".tif", save_all=True, append_images=drawn[10:])
    dataset = load(tmp_path / "a")
    assert set(all_rows(dataset)) == {np.asarray(each).tobytes() for each in drawn[:10]}
    assert dataset.notes == ("10 of 10 files have several images, of which the first is read",)


def test_class_folders_that_are_empty_or_alike_are_said(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"Cat": 9, "cat": 9})
    (tmp_path / "a" / "dog").mkdir()
    assert load(tmp_path / "a").notes == (
        'class folders that differ in case, blanks or points alone are different: "Cat", "cat"',
        'no image in the folder "dog"',
    )


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    tags = PillowImage.Exif()
    tags[0x0112] = 6  # lying on its right side
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    images = [PillowImage.fromarray(pixels // (n + 1)) for n in range(10)]
    save(tmp_path / "a", images, ".jpg", exif=tags.tobytes(), quality=95)
    dataset = load(tmp_path / "a")
    assert dataset.image is not None
    assert (dataset.image.height, dataset.image.width) == (16, 8)
    pictures = dataset.pictures(dataset.train.x).astype(int)
    assert (pictures[:, 10:].mean(axis=(1, 2, 3)) > pictures[:, :6].mean(axis=(1, 2, 3)) + 15).all()


def test_other_files_are_mentioned_and_hidden_ones_are_not(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"cat": 10, "dog": 10})
    before = load(tmp_path / "a")
    for name in ("README.md", "cat/notes.txt", ".hidden/x.png", "__MACOSX/cat/._000.png", "cat/.x.png"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_bytes(b"no picture")
    dataset = load(tmp_path / "a")
    assert dataset.notes == ('2 files left out, not named as images: "README.md", "cat/notes.txt"',)
    assert dataset.hash == before.hash
    write_picture(tmp_path / "a" / "cat" / "000.png", noise(77, 4, 6, 3))
    assert load(tmp_path / "a").hash != before.hash


def test_folders_named_by_numbers_are_classes_in_their_order_or_quantities(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"10": 8, "9": 8, "1": 8})
    assert load(tmp_path / "a").classes == ("1", "9", "10")
    dataset = load(tmp_path / "a", task="positive_regression")
    assert (dataset.classes, dataset.target_mean) == ((), 0)
    found = np.unique(np.concatenate([dataset.train.y, dataset.valid.y]) * dataset.target_std)
    np.testing.assert_allclose(found, [1, 9, 10], rtol=1e-6)


def idx(array: Pixels) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("end", ["", ".gz", ".xz"])
def test_idx_files_with_a_test_part(tmp_path: Path, end: str) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[end]
    arrays = {}
    for place, (start, count) in enumerate((("train", 60), ("t10k", 9))):
        x, y = noise(place, count, 5, 4), (np.arange(count) % 3).astype(np.uint8)
        arrays[start] = {picture.tobytes(): str(label) for picture, label in zip(x, y, strict=True)}
        (tmp_path / f"{start}-images-idx3-ubyte{end}").write_bytes(pack(idx(x)))
        (tmp_path / f"{start}-labels-idx1-ubyte{end}").write_bytes(pack(idx(y)))
    folder, file = load(tmp_path), load(tmp_path / f"train-images-idx3-ubyte{end}")
    for dataset in (folder, file):
        assert dataset.task is Task.MULTICLASS
        assert dataset.classes == ("0", "1", "2")
        assert rows(dataset, "test") == arrays["t10k"]
        assert rows(dataset, "train") | rows(dataset, "valid") == arrays["train"]
        assert len(dataset.valid) == 12
    assert folder.hash == file.hash
    for name in (f"t10k-images-idx3-ubyte{end}", f"t10k-labels-idx1-ubyte{end}"):
        (tmp_path / name).unlink()
    alone = load(tmp_path)
    assert [len(getattr(alone, part)) for part in PARTS] == [36, 12, 12]
    assert alone.hash != folder.hash


def test_npz_pictures_and_plain_features(tmp_path: Path) -> None:
    x, y = noise(0, 40, 4, 5, 3), np.array(["cat", "dog"] * 20)
    expected = {picture.tobytes(): str(label) for picture, label in zip(x, y, strict=True)}
    np.savez(tmp_path / "bytes.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "shares.npz", X=x / 255, Y=y)
    np.savez(tmp_path / "whole.npz", x=x.astype(np.int64), y=y[:, None])
    for name in ("bytes", "whole"):
        dataset = load(tmp_path / f"{name}.npz")
        assert dataset.task is Task.BINARY
        assert all_rows(dataset) == expected
    shares = load(tmp_path / "shares.npz")
    assert shares.image is not None
    assert (shares.image.dtype, shares.image.low, shares.image.high) == ("float32", 0, 1)
    assert {picture.tobytes() for picture in shares.displayed(shares.train.x)} <= set(expected)
    whole = load(tmp_path / "whole.npz")
    np.testing.assert_allclose(shares.train.x, whole.train.x, rtol=1e-4, atol=1e-5)
    np.savez(tmp_path / "plain.npz", x=x[:, 0, :, 0], y=np.linspace(0, 9, 40))
    plain = load(tmp_path / "plain.npz")
    assert plain.task is Task.REGRESSION
    assert plain.image is None
    assert plain.features == ("x0", "x1", "x2", "x3", "x4")


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1.09), (0, 1.0000001), (-1, 1), (-1024, 3071.5), (0, 70_000), (0, 300.5)]
)
def test_the_range_of_numbers_is_that_of_the_whole_array(tmp_path: Path, low: float, high: float) -> None:
    values = np.random.default_rng(0).uniform(low, high, (30, 4, 4))
    values[3, 0, :2] = low, high
    np.savez(tmp_path / "a.npz", x=values, y=np.arange(30) % 2)
    dataset = load(tmp_path / "a.npz", split=SplitSection(valid=0.1, test=0.0))
    image = dataset.image
    assert image is not None
    assert image.dtype == "float32"
    found = np.concatenate([dataset.pictures(dataset.train.x), dataset.pictures(dataset.valid.x)])
    np.testing.assert_allclose(np.sort(found.ravel()), np.sort(values.ravel()), rtol=1e-4, atol=1e-4 * high)
    assert (image.low, image.high) == pytest.approx((low, high), abs=0.2 * (high - low))
    assert image.levels == len(np.unique(values.astype(np.float32)))
    shown = dataset.displayed(dataset.train.x)
    assert (shown.min(), shown.max()) == (0, 255)
    again = load(tmp_path / "a.npz", split=SplitSection(valid=0.1, test=0.0))
    assert again.train.x.tobytes() == dataset.train.x.tobytes()
    assert again.image == image


def test_whole_numbers_keep_their_bits(tmp_path: Path) -> None:
    x = noise(0, 30, 4, 4)
    for name, values in (("a", x), ("b", x.astype(np.float64)), ("c", x.astype(np.int32))):
        np.savez(tmp_path / f"{name}.npz", x=values, y=np.arange(30) % 2)
    a, b, c = (load(tmp_path / f"{name}.npz") for name in "abc")
    assert a.train.x.tobytes() == b.train.x.tobytes() == c.train.x.tobytes()
    np.savez(tmp_path / "d.npz", x=x.astype(np.int64) * 100, y=np.arange(30) % 2)
    deep = load(tmp_path / "d.npz")
    assert deep.image is not None
    assert deep.image.dtype == "uint16"
    assert set(np.unique(deep.pictures(deep.train.x) // 100)) <= set(np.unique(x))


def test_npz_parts(tmp_path: Path) -> None:
    x, y = noise(0, 40, 4, 4), np.arange(40) % 3
    np.savez(
        tmp_path / "a.npz", x_train=x[:20], y_train=y[:20], x_val=x[20:30], y_val=y[20:30],
        x_test=x[30:], y_test=y[30:],
    )  # fmt: skip
    dataset = load(tmp_path / "a.npz")
    for part, some in zip(PARTS, (slice(20), slice(20, 30), slice(30, 40)), strict=True):
        assert dataset.pictures(getattr(dataset, part).x).tobytes() == x[some].tobytes()
        assert getattr(dataset, part).y.tolist() == y[some].tolist()


@pytest.mark.parametrize(
    "names",
    [
        "train_images train_labels val_images val_labels test_images test_labels",
        "x_train y_train x_valid y_valid x_test y_test",
        "Train_X Train_Y Dev_X Dev_Y Test_X Test_Y",
        "train_data train_targets validation_data validation_targets testing_data testing_targets",
    ],
)
def test_npz_names_of_splits(tmp_path: Path, names: str) -> None:
    x, y = noise(0, 40, 4, 4), (np.arange(40) % 3)[:, None]
    cuts = (slice(20), slice(30, 40), slice(20, 30))
    arrays = [array[cut] for cut in cuts for array in (x, y)]
    np.savez(tmp_path / "a.npz", ids=y, **dict(zip(names.split(), arrays, strict=True)))
    dataset = load(tmp_path / "a.npz")
    assert dataset.notes == ('1 array left out: "ids"',)
    for part, cut in zip(PARTS, cuts, strict=True):
        assert dataset.pictures(getattr(dataset, part).x).tobytes() == x[cut].tobytes()
        assert getattr(dataset, part).y.tolist() == y[cut, 0].tolist()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize("count", [60, 256])
def test_idx_files_are_known_by_their_bytes(tmp_path: Path, pack: Any, count: int) -> None:
    x, y = noise(0, count, 5, 4), (np.arange(count) % 3).astype(np.uint8)
    datasets = []
    for order in "><":
        folder = tmp_path / ("big" if order == ">" else "little")
        folder.mkdir()
        for name, array in (("train-images-idx3-ubyte", x), ("train-labels-idx1-ubyte", y)):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f"{order}{array.ndim}I", *array.shape)
            (folder / name).write_bytes(pack(head + array.tobytes()))
        datasets.append(load(folder))
    big, little = datasets
    assert all_rows(big) == {image.tobytes(): str(label) for image, label in zip(x, y, strict=True)}
    assert big.train.x.tobytes() == little.train.x.tobytes()


def test_progress_tells_of_every_picture(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", {"c": 70, "d": 80}, (2, 2))
    told: list[tuple[int, int]] = []
    data = DataSection(source="a")
    load_dataset(data, 0, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (150, 150)
    assert sorted(told) == told
    assert len(told) > 2
    load_dataset(data, 0, tmp_path, progress=lambda done, total: pytest.fail("decoded again"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside this checkout")
def test_clothing_has_the_pictures_of_its_archive() -> None:
    path = SHARED / "clothing64-cc0" / "clothing64-cc0.zip"
    dataset = load(path, image_size=[32, 32])
    assert [len(getattr(dataset, part)) for part in PARTS] == [3068, 341, 372]
    assert dataset.classes[:3] == ("dress", "hat", "longsleeve")
    assert np.bincount(dataset.train.y.astype(int)).tolist()[:2] == [241, 123]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside this checkout")
def test_fashion_mnist_is_what_an_independent_reading_finds() -> None:
    folder = SHARED / "fashion-mnist"
    dataset = load(folder, n_images=3000)
    raw = lzma.decompress((folder / "t10k-images-idx3-ubyte.xz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    labels = np.frombuffer(
        lzma.decompress((folder / "t10k-labels-idx1-ubyte.xz").read_bytes()), np.uint8, offset=8
    )
    assert (dataset.pictures(dataset.test.x) == pixels).all()
    assert (dataset.test.y == labels).all()
    assert np.bincount(dataset.train.y).tolist() == [240] * 10
    assert np.bincount(dataset.valid.y).tolist() == [60] * 10
