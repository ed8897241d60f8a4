"""`python -m tests.analyse.node_process FOLDER`: the analyse role with the fake model, until SIGTERM or SIGKILL."""

import signal
import sys
import threading
from pathlib import Path

from dicom_node.analyse.role import run
from tests.analyse.conftest import settings_in
from tests.analyse.fakes import ThresholdPredictor

if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(settings_in(Path(sys.argv[1]), lease=1.0), stop, predictor=ThresholdPredictor())
