"""What one would build instead of a node: an Orthanc plugin that analyses in its stored-instance callback.

Orthanc's Python plugin loads it (`PythonScript`). It wants a section in Orthanc's configuration:

    "ChestPlugin": { "Path": ["/path/to/the/checkout", "/path/to/.venv/lib/python3.11/site-packages"], "Threads": 2 }

The packages must be built for the Python that the plugin embeds. It reads a frontal chest by its header, runs the same
network, makes the same Segmentation and Secondary Capture, and has Orthanc store them, before the sender gets its
response: so whoever has a response has its results too. The model is loaded and warm before Orthanc listens.

What it lacks, and a node has: an instance that was stored when the process died is never analysed, since nothing
remembers that it is due; nothing is flushed; a result that failed is not tried again; a stranger's bytes are parsed and
decoded in the archive's own process, without a limit on time or memory; repeats are analysed again under other UIDs
where the time differs; no report, no routing, no record of what was declined and why.
"""

import json
import site
import sys
import time
import traceback
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO

import orthanc

_OPTIONS = json.loads(orthanc.GetConfiguration())["ChestPlugin"]
for _path in _OPTIONS["Path"]:
    sys.path.insert(0, _path)
    site.addsitedir(_path)

import numpy as np  # noqa: E402 - only now is it to be found
from pydicom import dcmread  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

from dicom_node import __version__  # noqa: E402
from dicom_node.domain import Finding, Kind, Profile  # noqa: E402
from dicom_node.encode.builders import build  # noqa: E402
from dicom_node.encode.context import EncodeContext  # noqa: E402
from dicom_node.encode.findings import shown  # noqa: E402
from model.contract import Film, FilmError, Prediction  # noqa: E402
from model.film import film_from  # noqa: E402
from model.predictor import load_predictor  # noqa: E402

#: findings that are drawn at most: the node's default
_MOST = 10
#: Computed Radiography Image Storage, Digital X-Ray Image Storage - For Presentation
_CLASSES = ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1")

_predictor = load_predictor(threads=int(_OPTIONS["Threads"]))
_predictor.predict([Film(pixels=np.zeros((256, 256), np.uint16))])


def stored(instance: orthanc.DicomInstance, identifier: str) -> None:
    """Orthanc has stored an instance: analyse it if it is a frontal chest. Nothing is raised: Orthanc is in C code."""
    try:
        _analyse(instance.GetInstanceData(), identifier)
    except Exception:  # noqa: BLE001 - the outermost frame
        orthanc.LogError(f"{identifier} was not analysed: {traceback.format_exc()}")


def is_frontal_chest(header: Dataset) -> bool:
    """Whether its header says so."""
    return (
        header.get("SOPClassUID") in _CLASSES
        and header.get("Modality") in ("CR", "DX")
        and "CHEST" in str(header.get("BodyPartExamined", "")).upper()
        and header.get("ViewPosition", "PA") in ("PA", "AP", "")
    )


def _analyse(data: bytes, identifier: str) -> None:
    times = [time.perf_counter()]
    dataset = dcmread(BytesIO(data))
    if not is_frontal_chest(dataset):
        return
    times.append(time.perf_counter())
    try:
        film = film_from(dataset)
    except FilmError as error:
        orthanc.LogWarning(f"{identifier} cannot be read: {error}")
        return
    times.append(time.perf_counter())
    (prediction,) = _predictor.predict([film])
    times.append(time.perf_counter())
    if prediction.frontal_chest < _predictor.manifest.gate:
        return
    results = _results(dataset, film, prediction, sha256(data).hexdigest())
    times.append(time.perf_counter())
    for result in results:
        orthanc.RestApiPost("/instances", result)
    times.append(time.perf_counter())
    stages = ("parse", "film", "predict", "encode", "store")
    spent = {
        stage: round(1000 * (end - start), 1) for stage, start, end in zip(stages, times[:-1], times[1:], strict=True)
    }
    orthanc.LogWarning(f"analysed {json.dumps(spent)}")


def _results(dataset: Dataset, film: Film, prediction: Prediction, digest: str) -> list[bytes]:
    """Segmentation, where there is something to mark, and Secondary Capture."""
    manifest = _predictor.manifest
    findings = [
        Finding(
            box=candidate.box,
            confidence=candidate.confidence,
            mask_origin=candidate.mask_origin,
            mask=candidate.mask,
        )
        for candidate in prediction.candidates
    ]
    drawn = shown(findings, manifest.operating_point, _MOST)
    context = EncodeContext(
        algorithm_name=manifest.name,
        algorithm_version=manifest.version,
        algorithm_family=manifest.family,
        model_digest=manifest.digest,
        parameters="0" * 64,
        threshold=manifest.operating_point,
        input_digest=digest,
        content_time=datetime.now(UTC),
        software_version=__version__,
    )
    return [
        build(
            kind,
            Profile.STRICT,
            header=dataset,
            film_pixels=film.pixels,
            film_shape=film.shape,
            film_valid=film.valid,
            film_window=film.window,
            findings=drawn,
            context=context,
        ).data
        for kind in ((Kind.SEG, Kind.SC) if drawn else (Kind.SC,))
    ]


orthanc.RegisterOnStoredInstanceCallback(stored)
orthanc.LogWarning(f"the chest plugin is ready: {_predictor.device_name}")
