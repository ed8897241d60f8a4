"""The identifying values: they stand in `study` alone, and instances carry a keyed digest of theirs."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, update

from dicom_node.domain import Head
from dicom_node.ledger.schema import study


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What says whose study it is."""

    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)


def identity_of(head: Head) -> Identity:
    """The identifying values that an instance arrived with."""
    return Identity(
        patient_id=head.patient_id,
        issuer_of_patient_id=head.issuer_of_patient_id,
        accession_number=head.accession_number,
    )


def keyed(identity: Identity, key: str) -> str:
    """Equal for equal values of one study; says nothing to whoever lacks the study's `key`."""
    values = (identity.patient_id, identity.issuer_of_patient_id, identity.accession_number)
    return hmac.new(key.encode(), "\\".join(values).encode(), hashlib.sha256).hexdigest()


#: made once, for a statement costs more to build than to run
_DESCRIBE = (
    update(study)
    .where(study.c.id == bindparam("study"))
    .values(
        patient_id=bindparam("patient"),
        issuer_of_patient_id=bindparam("issuer"),
        accession_number=bindparam("accession"),
    )
)
_FIRST_KNOWN = _DESCRIBE.values(identity_key=bindparam("key"))


def first_known(tx: Connection, study_id: int, identity: Identity) -> str:
    """Give a study its identifying values and a fresh key; the key."""
    key = secrets.token_hex(16)
    tx.execute(_FIRST_KNOWN, {**_parameters(study_id, identity), "key": key})
    return key


def describe(tx: Connection, study_id: int, identity: Identity) -> None:
    """Set the identifying values of a study."""
    tx.execute(_DESCRIBE, _parameters(study_id, identity))


def _parameters(study_id: int, identity: Identity) -> dict[str, object]:
    return {
        "study": study_id,
        "patient": identity.patient_id,
        "issuer": identity.issuer_of_patient_id,
        "accession": identity.accession_number,
    }


def forget(tx: Connection, study_id: int) -> None:
    """Blank the identifying values of a study, and the key; for retention. What stays identifies nobody."""
    describe(tx, study_id, Identity(patient_id="", issuer_of_patient_id="", accession_number=""))
    tx.execute(update(study).where(study.c.id == study_id).values(identity_key=""))
