"""The model: its weights are those that the manifest pins, it loads, and it reads a film."""

import time
from collections.abc import Iterator

import numpy as np

from dicom_node.analyse.results import require_thresholds
from dicom_node.config import Settings
from dicom_node.doctor.check import Check, failed, ok
from dicom_node.errors import ConfigurationError
from model.contract import Film, ModelError
from model.weights import read_manifest

#: side of the film that it is given to read, pixels
_SIDE = 512


def checks(settings: Settings) -> Iterator[Check]:
    """Manifest and weights, one prediction; what it runs on."""
    section = settings.model
    try:
        manifest = read_manifest(section.folder)
        require_thresholds(settings, manifest)
        from model.predictor import load_predictor

        started = time.monotonic()
        predictor = load_predictor(section.folder, section.device)
        loaded = time.monotonic()
        predictor.predict([Film(pixels=np.zeros((_SIDE, _SIDE), np.uint16))])
        read = time.monotonic()
    except ModelError as error:
        yield failed("model", str(error), "set folder or device of [model], or install chexnode again")
        return
    except ConfigurationError as error:
        yield failed("model", str(error), "nothing is analysed until then")
        return
    name = f"{manifest.name} {manifest.version} ({manifest.digest[:8]})"
    yield ok("model", f"{name}: loaded in {loaded - started:.1f} s, read a film in {read - loaded:.1f} s")
    yield ok("device", f"{predictor.device_name} (model.device is {section.device})")
