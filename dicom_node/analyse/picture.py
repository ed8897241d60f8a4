"""What tells two pictures apart, and whether all of a picture was looked at for that."""

import hashlib
import re

import numpy as np

from model.contract import Film

#: SHA-256, and where less was decoded than there is, how many rows and columns
_DIGEST = re.compile(r"[0-9a-f]{64}(:[0-9]{1,5}x[0-9]{1,5})?")


def picture_digest(film: Film) -> str:
    """SHA-256 of what is displayed, 64 hex digits: size, pixels, and where there is no picture.

    The decoded pixels and every attribute that changes their display went into the film, so it is the same for the
    same picture in another lossless transfer syntax or with another patient's name. That holds of a picture that was
    decoded in full. Else its digest names the size that was decoded, as "…:2140x1760": it tells nothing but whether
    the same bytes were read again.
    """
    rows, columns = film.pixels.shape
    digest = hashlib.sha256(f"{rows}x{columns}".encode())
    digest.update(np.ascontiguousarray(film.pixels, dtype="<u2").data)
    digest.update(b"" if film.valid is None else np.packbits(film.valid).data)
    return digest.hexdigest() if film.native is None else f"{digest.hexdigest()}:{rows}x{columns}"


def is_digest(text: str) -> bool:
    """Whether `text` is what picture_digest gives."""
    return _DIGEST.fullmatch(text) is not None


def of_all(digest: str) -> bool:
    """Whether the picture was decoded in full: only such digests say whether two versions show the same."""
    return ":" not in digest
