"""Text on the picture: the number of each finding beside its outline, and the footer below the anatomy."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicom_node.encode.colour import Ink
from dicom_node.encode.outline import Outline

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int) -> Font:
    """Pillow's own font, which comes with it: no file of the host is read."""
    return ImageFont.load_default(size)


def width(text: str, face: Font) -> int:
    """Pixels along a row."""
    left, _, right, _ = face.getbbox(text)
    return int(np.ceil(right - left))


def draw_labels(
    picture: Image.Image, labels: Sequence[str], outlines: Sequence[Outline], inks: Sequence[Ink], *, size: int
) -> None:
    """Write each label in its ink beside its outline, where it covers least of any region and of any other label."""
    face = font(size)
    draw = ImageDraw.Draw(picture)
    taken = np.zeros((picture.height, picture.width), np.uint8)
    for one in outlines:
        taken[one.window] |= one.covered
    for text, one, ink in zip(labels, outlines, inks, strict=True):
        extent = (width(text, face) + 6, int(size * 1.3))
        x, y = _place(one, extent, taken)
        # the number may cover a region if it must, another number never: its place counts a hundredfold
        taken[max(0, y) : y + extent[1], max(0, x) : x + extent[0]] = 100
        place = (x + 3, y + extent[1] // 2)
        # Pillow wants a grey as a number
        fill: int | Ink = ink if len(ink) > 1 else ink[0]
        draw.text(place, text, fill=fill, font=face, anchor="lm", stroke_width=2, stroke_fill=0)


def _place(one: Outline, extent: tuple[int, int], taken: NDArray[np.uint8]) -> tuple[int, int]:
    """Top left corner (x, y) of a label of `extent` (columns, rows) beside `one`."""
    wide, high = extent
    rows, columns = np.nonzero(one.covered)
    if len(rows) == 0:
        rows, columns = np.zeros(1, int), np.zeros(1, int)
    top, bottom = one.top + int(rows.min()), one.top + int(rows.max()) + 1
    left, right = one.left + int(columns.min()), one.left + int(columns.max()) + 1
    middle = (top + bottom - high) // 2
    wanted = [
        (left, top - high),
        (right - wide, top - high),
        (left, bottom),
        (right - wide, bottom),
        (right, middle),
        (left - wide, middle),
    ]
    most_y, most_x = max(0, taken.shape[0] - high), max(0, taken.shape[1] - wide)
    places = [(min(max(x, 0), most_x), min(max(y, 0), most_y)) for x, y in wanted]
    return min(places, key=lambda place: int(taken[place[1] : place[1] + high, place[0] : place[0] + wide].sum()))


def wrapped(text: str, face: Font, most: int) -> list[str]:
    """`text` in lines of at most `most` pixels, broken at spaces, within a word where there is no other way."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if width(joined, face) <= most:
            lines[-1] = joined
            continue
        while width(word, face) > most and len(word) > 1:
            head = next(n for n in range(len(word), 0, -1) if n == 1 or width(word[:n], face) <= most)
            lines.append(word[:head])
            word = word[head:]
        lines.append(word)
    return [line for line in lines if line]


def footer(lines: Sequence[str], *, columns: int, size: int) -> Image.Image:
    """`lines` on black, `columns` wide, the first one brighter and larger; as high as it must be."""
    margin = size // 2
    laid = [
        (part, font(round(size * factor)), grey, round(size * factor * 1.35))
        for line, factor, grey in (
            (line, 1.15 if n == 0 else 1.0, 255 if n == 0 else 200) for n, line in enumerate(lines)
        )
        for part in wrapped(line, font(round(size * factor)), columns - 2 * margin)
    ]
    strip = Image.new("L", (columns, 2 * margin + sum(high for *_, high in laid)), 0)
    draw = ImageDraw.Draw(strip)
    draw.line((0, 0, columns, 0), fill=90)
    y = margin
    for text, face, grey, high in laid:
        draw.text((margin, y + high // 2), text, fill=grey, font=face, anchor="lm")
        y += high
    return strip
