"""Contact sheets: every picture and its caption has a place; texts can do no harm."""

from __future__ import annotations

from io import BytesIO, StringIO

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from hpsearch.cli.common import reading
from hpsearch.reporting.contact_sheet import contact_sheet
from tests.pictures import noise


def opened(png: bytes) -> np.ndarray:  # type: ignore[type-arg]
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    assert image.mode == "RGB"
    assert image.info == {}
    return np.asarray(image)


def colours(count: int, *shape: int) -> np.ndarray:  # type: ignore[type-arg]
    """[count, *shape] pictures, each of one saturated colour that is neither the page's nor its text's."""
    tones = np.array([[255, 10 * n % 250, 40] for n in range(count)], np.uint8)
    return np.broadcast_to(tones[:, None, None], (count, *shape, 3)).copy()


def places(page: np.ndarray, pictures: np.ndarray) -> list[tuple[int, int, int]]:  # type: ignore[type-arg]
    """Top, left and area of each one-coloured picture on a page."""
    found = []
    for picture in pictures:
        rows, columns = np.nonzero((page == picture[0, 0]).all(axis=2))
        found.append((int(rows.min()), int(columns.min()), len(rows)))
    return found


@pytest.mark.parametrize(("count", "across"), [(1, 1), (7, 7), (9, 9), (10, 5), (20, 7)])
def test_pictures_are_there_whole_line_by_line(count: int, across: int) -> None:
    pictures = colours(count, 10, 14)
    found = places(opened(contact_sheet(pictures, ["a caption"] * count, "title")), pictures)
    times = 8  # 14 pixels become at least 112
    assert [area for _, _, area in found] == [10 * times * 14 * times] * count
    assert found == sorted(found)
    tops = sorted({top for top, _, _ in found})
    assert len(tops) == -(-count // across)
    assert sum(top == tops[0] for top, _, _ in found) == across


def test_small_pictures_keep_their_pixels_and_large_ones_are_made_smaller() -> None:
    small = noise(0, 1, 4, 4, 1)
    page = opened(contact_sheet(small, ["x"], "t"))
    corner = np.argwhere((page[:, :, 0] == 0xD0) & (page[:, :, 2] == 0xD0))[0] + 1
    cells = page[corner[0] : corner[0] + 112, corner[1] : corner[1] + 112]
    assert (cells[14::28, 14::28, 0] == small[0, :, :, 0]).all()
    large = colours(1, 900, 450)
    ((_, _, area),) = places(opened(contact_sheet(large, ["x"], "t")), large)
    assert area == 224 * 112


def test_captions_belong_to_their_pictures_and_are_not_wider() -> None:
    pictures = colours(6, 16, 16)
    captions = ["cat", "W" * 400, "two\nlines", "a rather long caption of many words " * 9, "", "x"]
    page = opened(contact_sheet(pictures, captions, "title"))
    dark = (page < 120).all(axis=2)
    widths, heights = [], []
    for top, left, _ in places(page, pictures):
        below = dark[top + 112 :, left - 8 : left + 120]
        rows, columns = np.nonzero(below)
        widths.append(0 if not len(columns) else int(columns.max()) - 8)
        heights.append(0 if not len(rows) else int(rows.max()))
        assert not below[:, :6].any()
    assert max(widths) < 112
    assert widths[4] == 0
    assert heights[2] > heights[0]
    assert widths[1] > 90


def test_texts_are_inert_and_bytes_the_same() -> None:
    pictures = noise(0, 3, 5, 5, 3)
    hostile = ["$x^2$ \x1b[31m\u202e", "\0\r\t", "<b>&amp;</b> \\n 猫 🐈"]
    first = contact_sheet(pictures, hostile, "a \x1b]0;title\x07" * 50)
    assert first == contact_sheet(pictures.copy(), list(hostile), "a \x1b]0;title\x07" * 50)
    assert opened(first).shape[1] <= 1280
    shown = contact_sheet(pictures, ["\\x1b", "", ""], "t")
    assert shown == contact_sheet(pictures, ["\x1b", "", ""], "t")
    assert shown != contact_sheet(pictures, ["", "", ""], "t")


def test_no_picture_and_captions_that_do_not_fit() -> None:
    assert opened(contact_sheet(noise(0, 0, 4, 4, 3), [], "nothing is wrong")).size
    with pytest.raises(ValueError, match="a caption for each of 2 pictures; found 1"):
        contact_sheet(noise(0, 2, 4, 4, 3), ["x"], "t")


def test_decoding_is_told_in_plain_lines_and_leaves_no_live_line() -> None:
    told = StringIO()
    with reading(console=Console(file=told), patience=0) as progress:
        progress(64, 12_000)
        progress(128, 12_000)
    assert told.getvalue().startswith("reading images   64/12,000")
    assert told.getvalue().count("\n") == 1
    quick = StringIO()
    with reading(console=Console(file=quick), patience=60) as progress:
        progress(64, 64)
    assert quick.getvalue() == ""
    live = StringIO()
    terminal = Console(file=live, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    with reading(console=terminal, patience=0) as progress:
        progress(64, 12_000)
        progress(12_000, 12_000)
    assert "12,000/12,000" in live.getvalue()
    assert live.getvalue().rstrip().endswith("\x1b[2K")  # the line is wiped away
