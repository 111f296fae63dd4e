"""Small pictures of known colours, as files, for tests of picture sources and their reports."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def noise(seed: int, *shape: int) -> Pixels:
    """Random pixels of a shape such as (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_picture(path: Path, pixels: Pixels) -> None:
    """A file of (height, width) grey or (height, width, 3) coloured pixels, its format by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    Image.fromarray(pixels).save(path, **lossless)


def class_folders(
    folder: Path,
    counts: dict[str, int],
    shape: tuple[int, ...] = (4, 6, 3),
    suffix: str = ".png",
    seed: int = 0,
) -> dict[str, Pixels]:
    """Write so many random pictures into each class folder; returns the pixels by name below `folder`."""
    written = {}
    for place, (name, count) in enumerate(counts.items()):
        for number in range(count):
            file = f"{name}/{number:03}{suffix}"
            written[file] = noise(1000 * (seed + place) + number, *shape)
            write_picture(folder / file, written[file])
    return written


def zip_folder(folder: Path, archive: Path, wrap: str = "") -> Path:
    """Pack all files below a folder, in one more folder `wrap` if it is named."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, f"{wrap}{path.relative_to(folder).as_posix()}")
    return archive
