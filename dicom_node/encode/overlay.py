"""The picture of a result: the film as a radiologist sees it, outlines with numbers, a footer below the anatomy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_node.domain import Finding
from dicom_node.encode.colour import WHITE, Ink, colour_of
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.lettering import draw_labels, footer
from dicom_node.encode.outline import Outline, Pen, outline

#: rows and columns of a part of the picture
Window = tuple[slice, slice]

#: the long side of a picture, pixels: small films are enlarged so that the footer can be read
_SHORTEST, _LONGEST = 1024, 2048
#: the height of letters and the width of lines as shares of the long side
_LETTERS, _LINES = 1 / 68, 1 / 900


def footer_lines(context: EncodeContext, *, marks: int) -> tuple[str, ...]:
    """What stands below the film; no word of it is about the patient."""
    if marks == 0:
        count = "no abnormal region marked"
    else:
        count = f"{marks} abnormal region{'s' if marks > 1 else ''} marked, number and confidence beside each"
    if context.not_shown:
        count += f"; {context.not_shown} less confident not shown"
    model = ascii_text(f"{context.algorithm_name} {context.algorithm_version}")
    return (
        "RESEARCH USE ONLY - not for diagnosis",
        f"chexnode {ascii_text(context.software_version)}, model {model} ({context.model_digest[:8]}), "
        f"threshold {context.threshold:.3g}",
        count,
    )


def render_overlay(
    film_pixels: NDArray[np.uint16],
    findings: Sequence[Finding],
    footer_lines: Sequence[str],
    *,
    film_shape: tuple[int, int] | None = None,
    film_valid: NDArray[np.bool_] | None = None,
    pixel_aspect: float = 1.0,
    colour: bool = False,
) -> NDArray[np.uint8]:
    """(rows, columns) uint8, or (rows, columns, RGB) in `colour`: 0 = black, square pixels, long side at most 2,048.

    `film_pixels` (rows, columns), 0 = black as displayed, of a source of `film_shape` (none: of just that size), which
    findings are counted in; `film_valid` False where it shows no anatomy;
    `pixel_aspect` is a pixel's height over its width. Nothing is flipped, cropped or turned.
    """
    rows, columns = film_shape or film_pixels.shape
    long_side = int(np.clip(max(rows * pixel_aspect, columns), _SHORTEST, _LONGEST))
    letters = round(long_side * _LETTERS)
    size, strip = _layout((rows * pixel_aspect, columns), footer_lines, long_side=long_side, letters=letters)
    shown = _displayed(film_pixels, film_valid, size)
    pen = Pen(width=max(1.3, long_side * _LINES), gap=max(1.0, long_side * _LINES * 0.8))
    scale = (size[0] / rows, size[1] / columns)
    outlines = [outline(finding, scale=scale, size=size, pen=pen) for finding in findings]
    inks: list[Ink] = [colour_of(number + 1).rgb if colour else WHITE for number in range(len(findings))]
    picture = Image.fromarray(_drawn(shown, outlines, inks))
    if colour and not inks:
        picture = picture.convert("RGB")
    labels = [f"{number}  {finding.confidence:.2f}" for number, finding in enumerate(findings, start=1)]
    draw_labels(picture, labels, outlines, inks, size=letters)
    # a film narrower than its footer stands in the middle of black
    whole = Image.new(picture.mode, (strip.width, size[0] + strip.height))
    whole.paste(picture, ((strip.width - size[1]) // 2, 0))
    whole.paste(strip, (0, size[0]))
    return np.asarray(whole, np.uint8)


def _layout(
    film: tuple[float, float], lines: Sequence[str], *, long_side: int, letters: int
) -> tuple[tuple[int, int], Image.Image]:
    """Rows and columns of the film in the picture, and the footer; together no longer than `long_side`."""
    height = float(long_side)
    while True:
        scale = min(height / film[0], long_side / film[1])
        size = (max(1, int(film[0] * scale)), max(1, int(film[1] * scale)))
        strip = footer(lines, columns=max(size[1], 30 * letters), size=letters)
        if size[0] + strip.height <= long_side:
            return size, strip
        height = min(height - 1, long_side - strip.height)


def _displayed(
    film_pixels: NDArray[np.uint16], film_valid: NDArray[np.bool_] | None, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The film in 8 bits at `size` (rows, columns), averaged where it is reduced."""
    eight = np.empty(film_pixels.shape, np.uint8)
    # straight into its place: a shifted film of 16 bits would be one copy more
    np.right_shift(film_pixels, 8, out=eight, casting="unsafe")
    if film_valid is not None:
        eight[~film_valid] = 0
    reduced = Image.fromarray(eight).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(reduced, np.uint8)


def _drawn(shown: NDArray[np.uint8], outlines: Sequence[Outline], inks: Sequence[Ink]) -> NDArray[np.uint8]:
    """All dark lines first, so that none lies on another's light one; what no outline touches is not computed."""
    if not inks:
        return shown
    channels = len(inks[0])
    drawn = np.repeat(shown[..., None], channels, axis=2) if channels > 1 else shown.copy()
    for window, members in _apart(outlines):
        plain = shown[window].astype(np.float32)
        for number in members:
            plain[_within(outlines[number].window, window)] *= 1 - outlines[number].dark
        canvas = np.stack([plain] * channels, axis=-1)
        for number in members:
            part = canvas[_within(outlines[number].window, window)]
            part += (np.array(inks[number], np.float32) - part) * outlines[number].light[..., None]
        patch = np.rint(canvas).astype(np.uint8)
        drawn[window] = patch if channels > 1 else patch[..., 0]
    return drawn


def _apart(outlines: Sequence[Outline]) -> list[tuple[Window, list[int]]]:
    """Windows that do not overlap, each with the outlines that lie in it, in their order."""
    groups: list[tuple[Window, list[int]]] = []
    for number, one in enumerate(outlines):
        window, members = one.window, [number]
        while touching := [group for group in groups if _overlap(group[0], window)]:
            groups = [group for group in groups if group not in touching]
            for other, inside in touching:
                window, members = _around(window, other), sorted(members + inside)
        groups.append((window, members))
    return groups


def _overlap(one: Window, other: Window) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _around(one: Window, other: Window) -> Window:
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return rows, columns


def _within(inner: Window, outer: Window) -> Window:
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
    return rows, columns
