"""The real command line, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from pydicom.dataset import Dataset

from tests import datasets

#: what the command line sees of this process's environment, so that a developer's settings change no test
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "OMP_NUM_THREADS")


def chexnode(
    *arguments: object, folder: Path, answers: str | None = None, seconds: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `chexnode` in `folder` and wait for it; `answers` is what it reads from its terminal."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "dicom_node", *map(str, arguments)],
        cwd=folder,
        env={**kept, "COLUMNS": "100", **environment},
        input=answers if answers is not None else "",
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def put(dataset: Dataset, folder: Path, name: str) -> Path:
    """Write a data set into a folder, which is made if need be; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    return datasets.write(dataset, folder, name)
