"""The digest of everything in the settings that changes what the node reads and marks: part of a Job's identity."""

import hashlib
import json

from dicom_node.config import Settings

#: keys of [model] that say where something lies or runs; which model it is, its own digest says
_NOT_PARAMETERS = {"folder", "device"}


def parameters_digest(settings: Settings, calling_ae_title: str = "") -> str:
    """SHA-256 of [select] and [model], 64 hex digits: the same for the same settings on every host and release.

    [model] counts as it holds for what `calling_ae_title` sends; "": for a sender without settings of its own.
    """
    parameters = {
        "select": settings.select.model_dump(mode="json"),
        "model": settings.model_for(calling_ae_title).model_dump(mode="json", exclude=_NOT_PARAMETERS),
    }
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def parameters_by_source(settings: Settings) -> dict[str, str]:
    """The digest for each calling AE title whose peer says something of its own."""
    common = parameters_digest(settings)
    digests = {peer.ae_title: parameters_digest(settings, peer.ae_title) for peer in settings.sources}
    return {title: digest for title, digest in digests.items() if digest != common}
