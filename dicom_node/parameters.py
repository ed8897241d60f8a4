"""The digest of everything in the settings that changes what the node reads and marks: part of a Job's identity."""

import hashlib
import json

from dicom_node.config import Settings

#: keys of [model] that say where something lies or runs; which model it is, its own digest says
_NOT_PARAMETERS = {"folder", "device"}


def parameters_digest(settings: Settings) -> str:
    """SHA-256 of [select] and [model], 64 hex digits: the same for the same settings on every host and release."""
    parameters = {
        "select": settings.select.model_dump(mode="json"),
        "model": settings.model.model_dump(mode="json", exclude=_NOT_PARAMETERS),
    }
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
