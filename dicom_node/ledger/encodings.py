"""What of a model's findings was drawn: by what the ledger knows an image can be encoded again, without the model."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from dicom_node.ledger.rows import insert_new
from dicom_node.ledger.schema import model, parameters


@dataclass(frozen=True, kw_only=True)
class EncodingRow:
    """A model, and what of its findings is drawn under some parameters."""

    name: str
    version: str
    #: digest of the model's manifest
    digest: str
    #: code value, scheme and meaning of CID 7162
    family: tuple[str, str, str]
    #: digest of the parameters, as jobs name it
    parameters: str
    #: confidence from which a finding is drawn
    threshold: float
    #: most findings drawn on one image
    most_findings: int


def remember(tx: Connection, *, model_digest: str, digest: str, threshold: float, most_findings: int) -> None:
    """Note what is drawn of a registered model's findings under the parameters `digest`; known already: nothing."""
    values = {"model": model_digest, "digest": digest, "threshold": threshold, "most_findings": most_findings}
    insert_new(tx, parameters, values, unless=("model", "digest"))


def find(tx: Connection, *, model_digest: str, digest: str) -> EncodingRow | None:
    """What was noted; None: nothing, for the job was done by a release that noted none."""
    row = (
        tx.execute(
            select(parameters, model.c.name, model.c.version, model.c.family)
            .join(model, model.c.digest == parameters.c.model)
            .where(parameters.c.model == model_digest, parameters.c.digest == digest)
        )
        .mappings()
        .first()
    )
    if row is None or not row["family"]:
        return None
    value, scheme, meaning = json.loads(row["family"])
    return EncodingRow(
        name=row["name"],
        version=row["version"],
        digest=model_digest,
        family=(value, scheme, meaning),
        parameters=digest,
        threshold=row["threshold"],
        most_findings=row["most_findings"],
    )
