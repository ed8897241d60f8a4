"""Reading single attributes of a header that may be missing, malformed or a lie: no answer instead of an error."""

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

#: what pydicom raises when it converts a value that does not fit its VR (odd-length US, a letter in an IS, …)
BAD_VALUE = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError, EOFError)

_WORD = re.compile(r"[A-Z]+")
_FOLDED = str.maketrans("ÄÖÜÀÁÂÃÇÈÉÊËÌÍÎÏÑÒÓÔÕÙÚÛŁŃŚŹŻ", "AOUAAAACEEEEIIIINOOOOUUULNSZZ")


def values(header: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute as text, stripped; () where it is missing, empty or cannot be read."""
    try:
        value = header.get(keyword)
    except BAD_VALUE:
        return ()
    if value is None or isinstance(value, Sequence):
        return ()
    several = value if isinstance(value, MultiValue | list | tuple) else (value,)
    return tuple(str(one).strip(" \0") for one in several)


def text(header: Dataset, keyword: str) -> str:
    """The attribute as one text, values joined by a backslash; "" where there is none."""
    return "\\".join(values(header, keyword)).strip("\\")


def number(header: Dataset, keyword: str) -> int | None:
    """The first value of the attribute as an integer, or None."""
    for value in values(header, keyword)[:1]:
        try:
            return int(float(value))
        except (ValueError, OverflowError):
            return None
    return None


def items(header: Dataset, keyword: str) -> Iterator[Dataset]:
    """The items of a sequence; none where it is missing or is no sequence."""
    try:
        value = header.get(keyword)
    except BAD_VALUE:
        return
    if isinstance(value, Sequence):
        yield from value


def words(free_text: str) -> tuple[str, ...]:
    """The words of a text in upper case without accents; whatever is no letter separates them (CHEST_LAT.1: two)."""
    return tuple(_WORD.findall(free_text.upper().translate(_FOLDED)))


def vocabulary(listed: str) -> frozenset[str]:
    """A set of words, written down with blanks between them."""
    return frozenset(listed.split())


def quoted(code: str) -> str:
    """A code string for a message; what is no code string (PS3.5 6.2, VR CS) may hold a name and is not repeated."""
    return code if re.fullmatch(r"[A-Z0-9 _]{1,16}", code) else "a value that is no code string"
