"""ONNX Runtime and torch say the same; a graph that is not the pinned one is not run."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from model.contract import Film, ModelError
from model.network import Heads
from model.onnx import OnnxNetwork
from model.predictor import load_predictor
from model.weights import MANIFEST, PACKAGED
from tests.model.test_folding import trained

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra training is not installed")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged weights with a graph made of them now."""
    from training.graph import graph_of
    from training.maps import maps_of

    folder = tmp_path_factory.mktemp("model") / "chexnomaly"
    shutil.copytree(PACKAGED, folder)
    graph = graph_of(maps_of().network)
    (folder / "graph.onnx").write_bytes(graph)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["graph"] = {"file": "graph.onnx", "sha256": hashlib.sha256(graph).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_the_same_heads_for_any_number_and_size(folder: Path) -> None:
    from training.maps import maps_of

    network = maps_of(folder).network
    session = OnnxNetwork((folder / "graph.onnx").read_bytes(), network)
    for count, rows, columns in ((1, 64, 64), (3, 96, 160)):
        films = torch.randn(count, 1, rows, columns)
        with torch.inference_mode():
            torchs = network(films)
        said = session(films)
        for name in Heads._fields:
            torch.testing.assert_close(
                getattr(said, name),
                getattr(torchs, name),
                rtol=1e-3,
                atol=1e-3,
                msg=lambda text, n=name: f"{n}: {text}",
            )


def test_the_graph_holds_no_weights_and_no_path(folder: Path) -> None:
    graph = (folder / "graph.onnx").read_bytes()
    assert len(graph) < 100_000
    assert b"site-packages" not in graph
    assert str(Path.cwd()).encode() not in graph


def test_the_predictor_finds_the_same_with_it(folder: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((3, 1, 12, 12), dtype=np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (400, 350), mode="bicubic").clamp(0, 1)
    films = [Film(pixels=(film[0].numpy() * 65535).astype(np.uint16)) for film in smooth]
    fast = load_predictor(folder, "cpu")
    assert "ONNX Runtime" in fast.device_name
    slow = load_predictor(folder, "cpu", onnx=False)
    assert slow.device_name == "CPU"
    for one, other in zip(fast.predict(films), slow.predict(films), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert one.frontal_chest == pytest.approx(other.frontal_chest, abs=1e-3)
        assert len(one.candidates) == len(other.candidates)
        for a, b in zip(one.candidates, other.candidates, strict=True):
            assert a.confidence == pytest.approx(b.confidence, abs=1e-3)
            assert a.box == pytest.approx(b.box, abs=0.5)


def test_another_graph_is_refused_and_a_broken_one_left_alone(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "graph.onnx").write_bytes(b"something else")
    with pytest.raises(ModelError, match="pins"):
        load_predictor(copy, "cpu")
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["graph"]["sha256"] = hashlib.sha256(b"something else").hexdigest()
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert load_predictor(copy, "cpu").device_name == "CPU"
    (copy / "graph.onnx").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_predictor(copy, "cpu")


def test_a_graph_of_another_network_is_a_model_error(folder: Path) -> None:
    with pytest.raises(ModelError, match="does not run"):
        OnnxNetwork((folder / "graph.onnx").read_bytes(), trained())
