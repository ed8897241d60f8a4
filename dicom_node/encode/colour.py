"""The colours of marks: apart from grey, from each other for colour-blind eyes too, and from the usual red and green.

The first is an orange; the others are those of Okabe and Ito (Color Universal Design, 2008) that stand out on grey.
"""

from dataclasses import dataclass

#: the values of one pixel, one a channel, 0..255
Ink = tuple[int, ...]

#: on grey monitors all marks are white
WHITE: Ink = (255,)


@dataclass(frozen=True, kw_only=True)
class Colour:
    """One colour, for pictures and for viewers that draw themselves."""

    #: sRGB, 0..255
    rgb: tuple[int, int, int]
    #: the same as CIELab L*, a*, b* (D50); in gamut also for those who take it for D65, as dcmqi does
    lab: tuple[float, float, float]

    @property
    def cielab_value(self) -> list[int]:
        """PCS-Values as Recommended Display CIELab Value (0062,000D) has them (PS3.3 C.10.7.1.1)."""
        lightness, a, b = self.lab
        return [round(lightness / 100 * 0xFFFF), round((a + 128) / 255 * 0xFFFF), round((b + 128) / 255 * 0xFFFF)]


_COLOURS = (
    Colour(rgb=(245, 145, 25), lab=(69.9, 33.5, 71.1)),
    Colour(rgb=(86, 180, 233), lab=(69.3, -16.8, -35.5)),
    Colour(rgb=(240, 228, 66), lab=(89.5, -8.5, 75.0)),
    Colour(rgb=(204, 121, 167), lab=(61.2, 37.7, -10.1)),
    Colour(rgb=(0, 158, 115), lab=(57.6, -44.7, 12.2)),
)


def colour_of(number: int) -> Colour:
    """That of finding `number`, counted from 1; they come round."""
    return _COLOURS[(number - 1) % len(_COLOURS)]
