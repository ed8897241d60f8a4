"""Which findings are shown, and what they cover together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_node.domain import Finding


def shown(findings: Sequence[Finding], threshold: float, most: int) -> tuple[Finding, ...]:
    """Those at or above `threshold`, the most confident first, at most `most`; equal ones keep their order."""
    wanted = (finding for finding in findings if finding.confidence >= threshold)
    return tuple(sorted(wanted, key=lambda finding: -finding.confidence)[:most])


def united_mask(findings: Sequence[Finding], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(rows, columns) of `shape`, True wherever a finding is. Raises ValueError for one outside the picture."""
    united = np.zeros(shape, np.bool_)
    for number, finding in enumerate(findings, start=1):
        row, column = finding.mask_origin
        rows, columns = finding.mask.shape
        if row < 0 or column < 0 or row + rows > shape[0] or column + columns > shape[1]:
            raise ValueError(
                f"finding {number} covers rows {row}..{row + rows} and columns {column}..{column + columns}, "
                f"but its film has {shape[0]} x {shape[1]} pixels; mask_origin or mask is wrong"
            )
        united[row : row + rows, column : column + columns] |= finding.mask
    return united
