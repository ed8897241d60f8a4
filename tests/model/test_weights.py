"""The manifest is the model's identity; nothing that differs from it is loaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.contract import ModelError
from model.weights import MANIFEST, PACKAGED, describe, load_tensors, read_manifest


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packaged model, to be tampered with."""
    return Path(shutil.copytree(PACKAGED, tmp_path / "model"))


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_packaged_model_is_whole_and_small() -> None:
    manifest = read_manifest()
    assert len(manifest.digest) == len(manifest.weights_sha256) == 64
    assert manifest.floor < manifest.validated_range[0] <= manifest.operating_point <= manifest.validated_range[1]
    assert load_tensors(describe())
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) < 25e6


def test_its_data_and_terms_are_told() -> None:
    content = json.loads((PACKAGED / MANIFEST).read_text())
    assert {"data", "recipe", "metrics"} <= set(content)
    assert all(source["terms"] for source in content["data"])


def test_the_identity_is_read_without_torch() -> None:
    code = "import sys; from model.weights import read_manifest; read_manifest(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_changed_weights_are_refused(copy: Path) -> None:
    weights = copy / describe(copy).weights
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256"):
        load_tensors(describe(copy))
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_tensors(describe(copy))


def test_a_changed_manifest_is_another_model(copy: Path) -> None:
    before = read_manifest(copy)
    rewrite(copy, version="9")
    assert read_manifest(copy).digest != before.digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 99}, "format 99"),
        ({"operating_point": 0.001}, "in order"),
        ({"family": ["1"]}, "not a manifest"),
        ({"weights": {"file": "../other", "sha256": "0"}}, "not in the folder"),
        ({"calibration": {}}, "finding"),
    ],
)
def test_nonsense_is_refused_by_name(copy: Path, changes: dict[str, object], words: str) -> None:
    rewrite(copy, **changes)
    with pytest.raises(ModelError, match=words):
        describe(copy)


def test_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match="not a manifest"):
        read_manifest(tmp_path)
