"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ("tests.postgres",)

os.environ.setdefault("OMP_NUM_THREADS", "1")
# a busy machine is no failure
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

DATA = Path(os.environ.get("CHEXNODE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real X-rays and DICOM files, which is no part of the project."""
    if not (DATA / "dicom").is_dir():
        pytest.skip(f"no real X-rays at {DATA}: set CHEXNODE_DATA to the folder that holds dicom/ and nih/")
    return DATA
