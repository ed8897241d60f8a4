"""What a destination's answer means for a delivery: one table for C-STORE and for STOW-RS's Failure Reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node.deliver.destination import Outcome, Verdict


@dataclass(frozen=True, kw_only=True)
class StatusRow:
    """One status, or one range of them."""

    #: `status & mask == value`
    value: int
    mask: int = 0xFFFF
    meaning: str
    verdict: Verdict

    @property
    def code(self) -> str:
        """As the standard writes it: A700, A9xx."""
        return "".join("x" if m == "0" else v for v, m in zip(f"{self.value:04X}", f"{self.mask:04X}", strict=True))


#: PS3.4 Table B.2-1, PS3.7 Annex C, PS3.18 Table I.2-2; the first row that fits counts
STORE_STATUSES: Sequence[StatusRow] = (
    StatusRow(value=0x0000, meaning="Success", verdict=Verdict.STORED),
    StatusRow(value=0xB000, mask=0xF000, meaning="Warning: stored, perhaps coerced", verdict=Verdict.STORED),
    # ours never change, so what is there is this one
    StatusRow(value=0x0111, meaning="Duplicate SOP instance: it has it already", verdict=Verdict.STORED),
    StatusRow(value=0x0117, meaning="Invalid SOP instance", verdict=Verdict.REFUSED),
    StatusRow(value=0x0118, meaning="No such SOP class", verdict=Verdict.REFUSED),
    StatusRow(value=0x0119, meaning="Class-instance conflict", verdict=Verdict.REFUSED),
    StatusRow(value=0x0122, meaning="SOP class not supported", verdict=Verdict.REFUSED),
    StatusRow(value=0x0124, meaning="Not authorized", verdict=Verdict.REFUSED),
    StatusRow(value=0xA700, mask=0xFF00, meaning="Out of resources", verdict=Verdict.RETRY),
    StatusRow(value=0xA900, mask=0xFF00, meaning="Data set does not match SOP class", verdict=Verdict.REFUSED),
    StatusRow(value=0xC000, mask=0xF000, meaning="Cannot understand", verdict=Verdict.REFUSED),
    # whatever is not known to be hopeless is tried again
    StatusRow(value=0x0000, mask=0x0000, meaning="Any other", verdict=Verdict.RETRY),
)

#: what a person does about a refusal
ADVICE = "see its log, then `chexnode retry`"


def judge(status: int) -> Outcome:
    """What a C-STORE status or a Failure Reason means for a delivery.

    The peer's Error Comment is left out: peers quote patients.
    """
    row = next(row for row in STORE_STATUSES if status & row.mask == row.value)
    said = f"it answered with status {status:04X}"
    if row.verdict is Verdict.REFUSED:
        return Outcome(verdict=row.verdict, detail=f"{said} ({row.meaning}): {ADVICE}")
    if status == 0x0111:
        return Outcome(verdict=row.verdict, detail=f"it has it already ({status:04X})")
    return Outcome(verdict=row.verdict, detail=said if status else "")
