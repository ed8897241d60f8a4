"""`python -m tests.faults.serve CONFIG`: `chexnode serve`, its roles as in role.py."""

import sys
import threading
from pathlib import Path

from dicom_node import supervisor
from dicom_node.config import Role


class Keeper(supervisor.RoleKeeper):
    def __init__(self, role: Role, settings_path: Path, stop: threading.Event) -> None:
        super().__init__(role, settings_path, stop)
        self._command = [sys.executable, "-m", "tests.faults.role", role.value, str(settings_path)]


if __name__ == "__main__":
    supervisor.RoleKeeper = Keeper  # type: ignore[misc]
    supervisor.serve(Path(sys.argv[1]))
