"""What the folders around images mean: splits, classes, or nothing."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

from hpsearch.data.paths import readable, shown
from hpsearch.data.raw import alike, listed, split_of
from hpsearch.errors import DataError

Words = list[str]
"""An image's folders and its name."""

_LAYOUT = "expected CLASS/IMAGE, or SPLIT/CLASS/IMAGE with the splits train, valid and test"


class Layout(NamedTuple):
    """What an image source's folders say.

    places: of each image, its split and class folders and its name, without the folders around them.
    classes: of each image. splits: of each image, where the source is split.
    """

    places: list[str]
    classes: list[str]
    splits: list[int] | None
    notes: tuple[str, ...] = ()


def class_of(folder: str) -> str:
    """A class as its folder names it; "é" may be written as one character or as two."""
    return unicodedata.normalize("NFC", folder)


def layout_of(path: Path, names: tuple[str, ...]) -> Layout:
    """Splits and classes of images by their names below the source `path`.

    Class folders may lie in split folders (train, training_set, val, Testing …), and all of them in further
    folders, as archives have them.

    Raises:
        DataError: images lie elsewhere, or a class folder's name cannot be read.
    """
    words = _unwrapped([name.split("/") for name in names])
    tops = sorted({place[0] for place in words if len(place) > 1})
    splits, notes = _splits(tops), tuple[str, ...]()
    if splits and len(splits) < len(tops):
        if any(len(place) != 2 for place in words):
            raise DataError(
                f"{path}: {_LAYOUT}; found splits and classes side by side: {_names(tops)}; move the folders "
                "that are no splits elsewhere"
            )
        notes = (f"{_names(sorted(splits))} taken for a class, like {_names(_others(tops, splits))}",)
        splits = {}
    if splits:
        words = _unwrapped_splits(words)
    depth = 3 if splits else 2
    if astray := ["/".join(place) for place in words if len(place) != depth]:
        raise _astray(path, words, astray, splits)
    classes = [class_of(place[-2]) for place in words]
    if broken := sorted({name for name in classes if readable(name) != name}):
        raise DataError(
            f"{path}: expected names of classes in UTF-8; found {_names(broken)}; rename the folder"
        )
    if twice := alike(set(classes)):
        notes += (
            f"class folders that differ in case, blanks or points alone are different: {_names(twice)}",
        )
    places = ["/".join(place) for place in words]
    return Layout(places, classes, [splits[place[0]] for place in words] if splits else None, notes)


def _unwrapped(words: list[Words]) -> list[Words]:
    """Places without the folders around all of them, but for a class or a split."""
    while _share_a_folder(words) and (
        split_of(words[0][0]) is None or _splits({place[1] for place in words})
    ):
        words = [place[1:] for place in words]
    return words


def _share_a_folder(words: list[Words]) -> bool:
    return all(len(place) > 2 and place[0] == words[0][0] for place in words)


def _splits(tops: set[str] | list[str]) -> dict[str, int]:
    """The split of each folder that is named after one, also behind a prefix of all ("seg_train")."""
    found = {top: split for top in tops if (split := split_of(top)) is not None}
    if not found and len(prefixes := {top.rpartition("_")[0] for top in tops}) == 1 and "" not in prefixes:
        ends = {top: split_of(top.rpartition("_")[2]) for top in tops}
        if len(set(ends.values())) == len(tops) > 1 and None not in ends.values():
            return {top: split for top, split in ends.items() if split is not None}
    return found


def _unwrapped_splits(words: list[Words]) -> list[Words]:
    """Places without the folders around a split's classes, such as training_set/training_set/cat/1.jpg."""
    below: dict[str, list[Words]] = {}
    for place in words:
        below.setdefault(place[0], []).append(place[1:])
    own = {
        top
        for top, places in below.items()
        if _share_a_folder(places) and (places[0][0] == top or split_of(places[0][0]) is not None)
    }
    if _share_a_folder([place[1:] for place in words]):
        own = set(below)
    return [[place[0], *place[2:]] if place[0] in own else place for place in words]


def _astray(path: Path, words: list[Words], astray: list[str], splits: dict[str, int]) -> DataError:
    unlabelled = sorted(top for top in splits if all(len(place) == 2 for place in words if place[0] == top))
    remedy = "move them, or name the folder that holds the class folders"
    if unlabelled and len(unlabelled) < len(splits):
        remedy = (
            f"{_names(unlabelled)} has no class folders: move it out of the source, and predict it "
            "with the trained model"
        )
    return DataError(
        f"{path}: {_LAYOUT}; found {len(astray):,} of {len(words):,} images elsewhere: "
        f"{_names(astray)}; {remedy}"
    )


def _others(tops: list[str], splits: dict[str, int]) -> list[str]:
    return [top for top in tops if top not in splits]


def _names(names: list[str]) -> str:
    return listed(map(shown, names))
