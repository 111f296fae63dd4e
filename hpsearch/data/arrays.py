"""Images that a file holds as one array."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hpsearch.data.pixels import blank, converted, in_threads
from hpsearch.data.raw import Advance, Decoded, Form, Indices, Pixels, Refuse


@dataclass(frozen=True)
class ArrayImages:
    """pixels of the source `name`: [n, height, width, channels], one channel or three."""

    name: str
    array: Pixels

    def take(self, rows: Indices) -> ArrayImages:
        """Those of some rows."""
        return replace(self, array=self.array[rows])

    def pixels(self, form: Form, refuse: Refuse, advance: Advance) -> Decoded:
        """All of them, resized and recoloured if `form` says so."""
        count, height, width, channels = self.array.shape
        own = "grey" if channels == 1 else "rgb"
        size, colour = form.size or (height, width), form.colour or own
        if (size, colour) == ((height, width), own):
            return Decoded(self.array)
        pixels = blank(self.name, count, size, colour, self.array.dtype)

        def convert(row: int) -> None:
            pixels[row] = converted(self.array[row], size, colour)

        in_threads(convert, range(count), advance)
        return Decoded(pixels)
