"""The bundle as MONAI users run it: from a folder of films to a model that the node's predictor loads."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from safetensors.torch import load_file

from model.predictor import load_predictor
from model.weights import read_manifest
from tests.waiting import wait_for

for package in ("fire", "ignite", "jsonschema", "tensorboard", "onnxscript"):
    pytest.importorskip(package, reason="the extra training is not installed")

from training.bundle import films, network, recipe  # noqa: E402  # tensorboard is known to be there now
from training.handlers import EarlyStopping, History, Report  # noqa: E402

ROOT = Path(__file__).parents[2] / "training"
CONFIGS = ROOT / "configs"
METADATA = CONFIGS / "metadata.json"

#: MONAI warns that a configuration is code, ignite and tensorboard of what they themselves import
pytestmark = [pytest.mark.timeout(280), pytest.mark.filterwarnings("ignore")]


def keys(config: str, **more: Any) -> dict[str, Any]:
    """Arguments of MONAI's bundle commands for one configuration, on one core."""
    of = {"config_file": CONFIGS / config, "meta_file": METADATA, "bundle_root": ROOT, "device": "cpu", "threads": 1}
    return {name: str(value) if isinstance(value, Path) else value for name, value in (of | more).items()}


def command(config: str, **more: Any) -> list[str]:
    """`python -m monai.bundle run …` as one would type it."""
    typed = [part for name, value in keys(config, **more).items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", *typed]


def typed(*arguments: str) -> None:
    """Run a command to its end. Fails where it failed, with what it said."""
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT.parent, timeout=250)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"


def picture(rng: np.random.Generator, box: tuple[float, float, float, float] | None) -> np.ndarray:
    """A 96-px film drawn here: two dark lungs on grey, and something bright where the box is."""
    y, x = np.mgrid[0:96, 0:96] / 96
    grey = 150 - 90 * sum(np.exp(-(((x - c) / 0.14) ** 2) - ((y - 0.5) / 0.28) ** 2) for c in (0.3, 0.7))
    if box is not None:
        x0, y0, x1, y1 = box
        grey = grey + 90 * ((x > x0) & (x < x1) & (y > y0) & (y < y1))
    return np.clip(grey + rng.normal(0, 6, grey.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dozen films in the form of nih/, half of them with a finding."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(36):
        abnormal, split = number % 2 == 0, "val" if number >= 24 else "train"
        left, top = rng.uniform(0.15, 0.6), rng.uniform(0.2, 0.6)
        box = (left, top, left + 0.2, top + 0.18) if abnormal else None
        Image.fromarray(picture(rng, box)).save(folder / f"{number}.png")
        region = {"label": "Mass", "reader": "chestx-det", "box": box}
        rows.append(
            {
                "id": str(number),
                "file": f"{number}.png",
                "patient": f"p{number}",
                "width": 96,
                "view": "PA",
                "age": 50,
                "split": split,
                "status": "abnormal_localised" if abnormal else "normal",
                "annotators": ["chestx-det"],
                "regions": [region] if abnormal else [],
            }
        )
    (folder / "annotations.json").write_text(json.dumps(rows))
    return folder


#: of train.json, for a training of seconds
SMALL = {"size": 64, "epochs": 2, "batch_size": 4, "start": "scratch", "validation_share": 0.3}


def training(drawn: Path, folder: Path, **more: Any) -> dict[str, Any]:
    """Keys of train.json for a small training in a folder."""
    return SMALL | {"dataset_dir": drawn, "run_dir": folder, "ckpt_path": folder / "model.pt"} | more


@pytest.fixture(scope="module")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training of two epochs."""
    folder = tmp_path_factory.mktemp("run")
    typed(*command("train.json", **training(drawn, folder)))
    return folder


@pytest.fixture(scope="module")
def exported(drawn: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model made of that training."""
    folder = tmp_path_factory.mktemp("model")
    settings = json.loads((CONFIGS / "export.json").read_text())
    settings["looks"]["sizes"] = [64]
    (folder / "settings.json").write_text(json.dumps(settings))
    of = ("--data", str(drawn), "--weights", str(trained / "stage-64.safetensors"), "--threads", "1")
    recipe = ("--recipe", str(trained / "recipe.json"), "--settings", str(folder / "settings.json"))
    typed(sys.executable, "-m", "training.export", *of, *recipe, "--out", str(folder / "made"))
    return folder / "made"


def test_a_training_leaves_weights_a_history_and_tensorboard(trained: Path) -> None:
    history = History(trained / "history.jsonl").reports
    assert [(report.stage, report.epoch) for report in history] == [(0, 1), (0, 2)]
    assert all("mean_sensitivity" in report.measures for report in history)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(trained / "tensorboard")).Reload()
    tags = set(log.Tags()["scalars"])
    assert {"learning_rate", "films_per_second", "loss/heat", "validation/mean_sensitivity"} <= tags
    assert [event.step for event in log.Scalars("loss/heat")] == [1, 2]
    assert load_file(trained / "stage-64.safetensors")


def test_what_was_trained_is_exported_predicts_and_is_measured(drawn: Path, exported: Path, tmp_path: Path) -> None:
    predictor = load_predictor(exported, "cpu")
    manifest = read_manifest(exported)
    assert json.loads((exported / "manifest.json").read_text())["network"]["channels"] == 1
    typed(*command("evaluate.json", dataset_dir=drawn, model_dir=exported, output_dir=tmp_path))
    assert (tmp_path / "predictions.npz").exists()
    assert any(tmp_path.glob("*.json"))
    assert predictor.manifest == manifest


def test_inference_reads_dicom_files_and_pictures(drawn: Path, exported: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deeper").mkdir(parents=True)
    shutil.copy(drawn / "0.png", source / "deeper" / "film.png")
    write_dicom(source / "film.dcm", np.asarray(Image.open(drawn / "0.png")).astype(np.uint16) * 16, bits=12)
    (source / "note.txt").write_text("no film")
    typed(*command("inference.json", dataset_dir=source, output_dir=out, model_dir=exported))
    said = json.loads((out / "findings.json").read_text())
    assert said["model"]["digest"] == read_manifest(exported).digest
    films = {entry["file"]: entry for entry in said["films"]}
    assert films["note.txt"]["status"] == "unreadable"
    dicom, png = films["film.dcm"], films["deeper/film.png"]
    assert dicom["status"] == png["status"]
    assert dicom["status"] in ("analysed", "declined")
    assert (dicom["rows"], dicom["columns"]) == (96, 96)
    for entry in (dicom, png):
        if entry["status"] == "analysed":
            assert Image.open(out / entry["overlay"]).size == (96, 96)


def write_dicom(path: Path, pixels: np.ndarray, *, bits: int) -> None:
    """A small DX image."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, bits, bits - 1, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    pydicom.dcmwrite(path, dataset)


def test_torchscript_says_what_the_network_says(exported: Path, tmp_path: Path) -> None:
    from training.maps import maps_of

    checkpoint, script = tmp_path / "model.pt", tmp_path / "model.ts"
    of = keys("inference.json", model_dir=exported)
    monai.bundle.run("checkpoint", **of | {"ckpt_path": str(checkpoint)})
    shape = [1, 1, 64, 64]
    monai.bundle.ckpt_export(
        "network_def", **of, ckpt_file=str(checkpoint), filepath=str(script), use_trace=True, input_shape=shape
    )
    films = torch.randn(2, 1, 96, 64)
    with torch.inference_mode():
        said = torch.jit.load(str(script))(films)
        torch.testing.assert_close(said, maps_of(exported)(films), rtol=1e-4, atol=1e-4)


def test_the_metadata_is_that_of_the_network() -> None:
    of = keys("train.json", start="scratch")
    monai.bundle.verify_net_in_out("network_def", **of, n=2, p=1)
    with pytest.raises(ValueError, match="output channel number"):
        monai.bundle.verify_net_in_out("network_def", **of | {"channels": "protocols"}, n=2, p=1)


@pytest.mark.data
def test_the_metadata_follows_its_schema(data: Path, tmp_path: Path) -> None:
    schema = next((data / "monai").glob("meta_schema_*.json"))
    monai.bundle.verify_metadata(meta_file=str(METADATA), filepath=str(schema), create_dir=False)
    wrong = {key: value for key, value in json.loads(METADATA.read_text()).items() if key != "task"}
    (tmp_path / "metadata.json").write_text(json.dumps(wrong))
    with pytest.raises(ValueError, match="task"):
        monai.bundle.verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(schema), create_dir=False)


@pytest.mark.parametrize(
    ("config", "kind"),
    [("train.json", "train"), ("pretrain.json", "train"), ("evaluate.json", "infer"), ("inference.json", "infer")],
)
def test_each_workflow_has_the_properties_that_monai_asks_for(
    config: str, kind: str, drawn: Path, tmp_path: Path
) -> None:
    workflow = monai.bundle.ConfigWorkflow(
        config_file=str(CONFIGS / config),
        meta_file=str(METADATA),
        workflow_type=kind,
        bundle_root=str(ROOT),
        dataset_dir=str(drawn),
        run_dir=str(tmp_path),
        ckpt_path=str(tmp_path / "model.pt"),
        start="scratch",
        device="cpu",
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.version == json.loads(METADATA.read_text())["version"]
    if kind == "infer":
        assert isinstance(workflow.network_def, torch.nn.Module)
        assert workflow.evaluator.state.max_epochs == 1
        assert len(workflow.dataset) == len(workflow.dataset_data)
    else:
        assert workflow.max_epochs == workflow.trainer.max_epochs > 1
        assert len(workflow.train_dataset) == len(workflow.train_dataset_data)


def test_pretraining_leaves_an_encoder_to_start_from(drawn: Path, tmp_path: Path) -> None:
    of = {"dataset_dir": drawn, "run_dir": tmp_path / "pre", "size": 64, "epochs": 1, "batch_size": 8}
    monai.bundle.run(**keys("pretrain.json", **of))
    start = tmp_path / "pre" / "encoder.safetensors"
    begun = network(recipe(CONFIGS / "recipe.json"), start).network
    for name, value in load_file(start).items():
        assert torch.equal(begun.encoder.state_dict()[name], value), name


def test_a_training_that_is_killed_goes_on_bit_for_bit(drawn: Path, trained: Path, tmp_path: Path) -> None:
    of = command("train.json", **training(drawn, tmp_path, checkpoint_every=0))
    killed = subprocess.Popen(of, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT.parent)
    wait_for("a checkpoint", (tmp_path / "checkpoint.pt").exists, seconds=200, every=0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(20) == -signal.SIGKILL
    assert not (tmp_path / "stage-64.safetensors").exists()
    typed(*of)
    whole, parts = (load_file(folder / "stage-64.safetensors") for folder in (trained, tmp_path))
    for name, value in whole.items():
        assert torch.equal(parts[name], value), name


def test_a_run_folder_is_not_gone_on_with_by_another_recipe(drawn: Path, trained: Path) -> None:
    with pytest.raises(RuntimeError, match="Trainer") as raised:
        monai.bundle.run(**keys("train.json", **training(drawn, trained, learning_rate=0.5)))
    assert "another recipe" in str(raised.value.__cause__)


def test_keys_change_the_recipe() -> None:
    path = CONFIGS / "recipe.json"
    whole = recipe(path)
    assert recipe(path, seed=5, epochs=1, batch_size=3).stages[-1].batch == 3
    assert [stage.size for stage in recipe(path, size=224).stages] == [224]
    assert recipe(path, channels="protocols").network["channels"] == 2
    assert sum(stage.epochs for stage in recipe(path, max_epochs=3).stages) == 3
    assert len(recipe(path, max_epochs=10_000).stages) == len(whole.stages)
    with pytest.raises(ValueError, match="multiple of 32"):
        recipe(path, size=100)


def test_who_stops_a_training_is_not_trained_on(drawn: Path) -> None:
    learnt, held = (films(drawn, 0.3, held_out=flag) for flag in (False, True))
    assert learnt
    assert held
    assert not {film.patient for film in learnt} & {film.patient for film in held}
    assert {film.split for film in learnt + held} == {"train"}
    assert len(films(drawn, 0.0)) == len(learnt) + len(held)


def test_a_stage_ends_when_its_measure_no_longer_rises(tmp_path: Path) -> None:
    history, stop = History(tmp_path / "history.jsonl"), EarlyStopping(patience=2)
    answers = []
    for epoch, value in enumerate((0.2, 0.4, 0.3, 0.35), 1):
        history.add(report(epoch, {"mean_sensitivity": value}))
        answers.append(stop(history))
    assert answers == [False, False, False, True]
    assert not EarlyStopping(patience=None)(history)
    again = History(tmp_path / "history.jsonl")
    again.add(report(3, {}))
    assert [one.epoch for one in History(tmp_path / "history.jsonl").reports] == [1, 2, 3]


def report(epoch: int, measures: dict[str, float]) -> Report:
    return Report(
        stage=0, epoch=epoch, overall=epoch, terms={"heat": 1.0}, learning_rate=1e-3, rate=10.0, measures=measures
    )
