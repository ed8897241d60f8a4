"""`python -m tests.faults.role ROLE CONFIG`: a role as the supervisor starts it; analyse with a model that thresholds.

The model is not what is tested here, and torch takes longer to load than a fault to be over.
"""

import functools
import os
import sys
from pathlib import Path

from dicom_node import app
from dicom_node.config import Role
from dicom_node.errors import NodeError


def main(role: Role, settings_path: Path) -> int:
    if role is Role.ANALYSE:
        from dicom_node.analyse.role import run
        from tests.analyse.fakes import ThresholdPredictor

        app._room = lambda *_: functools.partial(run, predictor=ThresholdPredictor(gate=False))
    try:
        app.run_role(role, settings_path, supervised=True)
    except NodeError as error:
        print(f"{role}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    code = main(Role(sys.argv[1]), Path(sys.argv[2]))
    sys.stderr.flush()
    os._exit(code)
