"""Contact sheets: many small pictures with captions on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hpsearch.text import plain

_WIDTH = 1280
_SIDE = 112
"""Pixels of a picture's longer side, at least; smaller ones are enlarged by a whole number."""
_LARGEST = 224
_MARGIN, _GAP, _BELOW = 32, 16, 6
_TEXT, _TITLE = 14, 22
_CAPTION_LINES = 3
_PAPER, _INK, _FRAME = "#ffffff", "#1f1f1f", "#d0d0d0"

Font = ImageFont.FreeTypeFont


def contact_sheet(pictures: NDArray[np.uint8], captions: Sequence[str], title: str) -> bytes:
    """A PNG of pictures in a grid, each above its caption; the same arguments give the same bytes.

    pictures: [n, height, width, channels], one channel or three. captions: one a picture, of a few words or
    lines; what is too long is cut off. Control characters in texts are shown, not obeyed.

    Raises:
        ValueError: not as many captions as pictures.
    """
    if len(pictures) != len(captions):
        raise ValueError(f"expected a caption for each of {len(pictures)} pictures; found {len(captions)}")
    text, heading = _font("DejaVuSans", _TEXT), _font("DejaVuSans-Bold", _TITLE)
    images = [_scaled(picture) for picture in pictures]
    width, height = images[0].size if images else (_SIDE, 0)
    cell = max(width, _SIDE)
    columns = _columns(len(images), cell)
    blocks = [_wrapped(caption, text, cell, _CAPTION_LINES) for caption in captions]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    line = _line_height(text)
    depths = [height + _BELOW + line * max(len(blocks[place]) for place in row) + _GAP for row in rows]
    page_width = max(2 * _MARGIN + columns * (cell + _GAP) - _GAP, _WIDTH // 2)
    title_lines = _wrapped(title, heading, page_width - 2 * _MARGIN, 2)
    top = _MARGIN + len(title_lines) * _line_height(heading) + _GAP
    page = Image.new("RGB", (page_width, top + sum(depths) - (_GAP if rows else 0) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, (_MARGIN, _MARGIN), title_lines, heading)
    for row, depth in zip(rows, depths, strict=True):
        for column, place in enumerate(row):
            left = _MARGIN + column * (cell + _GAP)
            page.paste(images[place], (left, top))
            draw.rectangle((left - 1, top - 1, left + width, top + height), outline=_FRAME)
            _write(draw, (left, top + height + _BELOW), blocks[place], text)
        top += depth
    target = BytesIO()
    page.save(target, format="PNG")
    return target.getvalue()


def _font(name: str, size: int) -> Font:
    """A font that comes with matplotlib, so that pages look alike on all machines."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _line_height(font: Font) -> int:
    return sum(font.getmetrics()) + 2


def _scaled(picture: NDArray[np.uint8]) -> Image.Image:
    """A picture enlarged so that its pixels stay sharp, or made smaller if it is large."""
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).convert("RGB")
    longest = max(image.size)
    if longest > _LARGEST:
        sides = (max(1, round(side * _LARGEST / longest)) for side in image.size)
        width, height = sides
        return image.resize((width, height), Image.Resampling.LANCZOS)
    times = math.ceil(_SIDE / longest)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _columns(count: int, cell: int) -> int:
    """Columns of a page whose rows are about equally long."""
    most = max(1, (_WIDTH - 2 * _MARGIN + _GAP) // (cell + _GAP))
    return math.ceil(count / max(1, math.ceil(count / most))) or 1


def _wrapped(text: str, font: Font, width: int, most: int) -> list[str]:
    """At most so many lines, each of them no wider than `width` pixels."""
    lines: list[str] = []
    for written in text.split("\n"):
        line = ""
        for word in plain(written).split(" "):
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
    return [_shortened(line, font, width) for line in lines]


def _shortened(line: str, font: Font, width: int) -> str:
    """The line, or as much of it as fits before an ellipsis."""
    if len(line) <= width and font.getlength(line) <= width:
        return line
    line = line.removesuffix(" …")[:width]  # a pixel a character at least
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], lines: list[str], font: Font) -> None:
    left, top = corner
    for place, line in enumerate(lines):
        draw.text((left, top + place * _line_height(font)), line, font=font, fill=_INK)
